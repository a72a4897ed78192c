pub mod device;
pub mod scenario;
mod cut;
