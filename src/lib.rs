//! stub
pub mod etcd;
