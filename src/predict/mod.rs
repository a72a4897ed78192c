//! What work will cost: laws fitted to measurements, and the measurements themselves.
//!
//! A [`law::Law`] gives the latency of a whole model from its batch, its part of the device and the processes beside it;
//! [`fit`] finds it from points, [`profile`] reads points and recorded kernels from files, [`a100`] holds laws that were
//! found so. Nothing here knows a device that runs.

pub mod a100;
pub mod fit;
pub mod fluid;
pub mod law;
pub mod nnls;
pub mod profile;
