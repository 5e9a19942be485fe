//! stub
pub mod certificate;
pub mod etcd;
