//! stub
pub mod config;
pub mod etcd;
pub mod store;
