//! Parameter structs: declared once here and once in the WGSL file; a test compares every field.

use crate::hal::Fragment;

/// A kernel file: its name, its text, and the fields of its parameter struct as the host lays them out.
#[derive(Clone, Copy, Debug)]
pub struct KernelFile {
    /// `gemm` for `shaders/gemm.wgsl`.
    pub name: &'static str,
    /// The text.
    pub source: &'static str,
    /// Files of the functions that it declares and leaves to the linker.
    pub functions: &'static [Fragment],
    /// Name, offset in bytes and size in bytes of each field.
    pub fields: &'static [(&'static str, usize, usize)],
}

/// Declares a parameter struct of 32-bit fields in the layout that launches carry, with a table of its fields. A
/// function cannot name fields, hence a macro.
macro_rules! params {
    ($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        struct $name { $($(#[$field_meta])* $field: $ty),+ }

        impl $name {
            const FIELDS: &'static [(&'static str, usize, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$ty>())),+];

            fn words(&self) -> Vec<u32> {
                bytemuck::cast_slice(bytemuck::bytes_of(self)).to_vec()
            }
        }
    };
}
pub(super) use params;
