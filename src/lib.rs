//! stub
pub mod certificate;
pub mod etcd;
pub mod snapshot;
