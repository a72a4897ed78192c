//! Convolutions: the kernels are being written.
use super::{DeviceCaps, Epilogue, HostTensor, Io, KernelLaunch, NoKernel, Operator};

macro_rules! later {
    ($name:ident) => {
        /// To come.
        #[derive(Clone, Debug)]
        pub struct $name {
            /// What follows.
            pub epilogue: Epilogue,
        }
        impl Operator for $name {
            fn kind(&self) -> String {
                stringify!($name).into()
            }
            fn flops(&self) -> u64 {
                0
            }
            fn lower(&self, _caps: &DeviceCaps, _io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
                Err(NoKernel("later".into()))
            }
            fn reference(&self, _inputs: &[HostTensor]) -> Vec<HostTensor> {
                Vec::new()
            }
        }
    };
}
later!(Conv);
later!(Depthwise);
