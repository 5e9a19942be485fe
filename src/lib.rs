//! stub
pub mod etcd;
pub mod schedule;
