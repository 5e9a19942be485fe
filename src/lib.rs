//! stub
pub mod etcd;
pub mod snapshot;
