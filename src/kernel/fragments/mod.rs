//! One-function WGSL files: the alphabet of elementwise chains and epilogues, and functions that several files share.

mod reference;

pub use reference::{Function, function};

use crate::hal::Fragment;

macro_rules! fragments {
    ($folder:literal, $(#[$meta:meta])* $all:ident: $($constant:ident = $name:literal $(calls $function:ident)?),+ $(,)?) => {
        $(
            #[doc = concat!("`shaders/", $folder, "/", $name, ".wgsl`")]
            pub const $constant: Fragment = Fragment {
                name: $name,
                source: include_str!(concat!("../../../shaders/", $folder, "/", $name, ".wgsl")),
                functions: &[$($function)?],
            };
        )+

        $(#[$meta])*
        pub const $all: &[Fragment] = &[$($constant),+];
    };
}

fragments! {
    "functions",
    /// What other files call; no steps of chains themselves. For tests.
    SHARED:
    SINE_COSINE = "sine_cosine",
    STRIDED_PLACE = "strided_place",
}

fragments! {
    "fragments",
    /// Everything that a chain's step may be. For tests.
    ALL:
    ABS_F32 = "abs_f32",
    ABS_I32 = "abs_i32",
    ACOS_F32 = "acos_f32",
    ACOSH_F32 = "acosh_f32",
    ADD = "add",
    ADD_I32 = "add_i32",
    AND_BOOL = "and_bool",
    AND_I32 = "and_i32",
    ASIN_F32 = "asin_f32",
    ASINH_F32 = "asinh_f32",
    ATAN_F32 = "atan_f32",
    ATANH_F32 = "atanh_f32",
    CEIL_F32 = "ceil_f32",
    CELU = "celu",
    CLAMP_F32 = "clamp_f32",
    COS_F32 = "cos_f32" calls SINE_COSINE,
    COSH_F32 = "cosh_f32",
    DIV = "div",
    DIV_I32 = "div_i32",
    ELU = "elu",
    EQUAL_F32 = "equal_f32",
    EQUAL_I32 = "equal_i32",
    ERF = "erf",
    EXP_F32 = "exp_f32",
    EXP_M1 = "exp_m1",
    F32_TO_BOOL = "f32_to_bool",
    F32_TO_I32 = "f32_to_i32",
    FLOOR_DIV_I32 = "floor_div_i32",
    FLOOR_F32 = "floor_f32",
    FMA_F32 = "fma_f32",
    GELU = "gelu",
    GELU_TANH = "gelu_tanh",
    GREATER_EQUAL_F32 = "greater_equal_f32",
    GREATER_EQUAL_I32 = "greater_equal_i32",
    GREATER_F32 = "greater_f32",
    GREATER_I32 = "greater_i32",
    HARD_SIGMOID = "hard_sigmoid",
    HARD_SWISH = "hard_swish",
    I32_TO_BOOL = "i32_to_bool",
    I32_TO_F32 = "i32_to_f32",
    IDENTITY = "identity",
    IS_INF = "is_inf",
    IS_NAN = "is_nan",
    LEAKY_RELU = "leaky_relu",
    LESS_EQUAL_F32 = "less_equal_f32",
    LESS_EQUAL_I32 = "less_equal_i32",
    LESS_F32 = "less_f32",
    LESS_I32 = "less_i32",
    LN = "ln",
    LN_1P = "ln_1p",
    MAX_F32 = "max_f32",
    MAX_I32 = "max_i32",
    MIN_F32 = "min_f32",
    MIN_I32 = "min_i32",
    MISH = "mish",
    MOD_F32 = "mod_f32",
    MOD_I32 = "mod_i32",
    MUL = "mul",
    MUL_I32 = "mul_i32",
    NEG = "neg",
    NEG_I32 = "neg_i32",
    NOT_BOOL = "not_bool",
    NOT_EQUAL_F32 = "not_equal_f32",
    NOT_EQUAL_I32 = "not_equal_i32",
    NOT_I32 = "not_i32",
    OR_BOOL = "or_bool",
    OR_I32 = "or_i32",
    POW_F32 = "pow_f32",
    RECIP = "recip",
    RELU = "relu",
    REM_F32 = "rem_f32",
    REM_I32 = "rem_i32",
    ROUND_HALF_AWAY = "round_half_away",
    ROUND_HALF_EVEN = "round_half_even",
    RSQRT = "rsqrt",
    SELECT_F32 = "select_f32",
    SELECT_I32 = "select_i32",
    SELU = "selu",
    SHIFT_LEFT_I32 = "shift_left_i32",
    SHIFT_RIGHT_I32 = "shift_right_i32",
    SIGMOID = "sigmoid",
    SIGN_F32 = "sign_f32",
    SIGN_I32 = "sign_i32",
    SILU = "silu",
    SIN_F32 = "sin_f32" calls SINE_COSINE,
    SINH_F32 = "sinh_f32",
    SOFTPLUS = "softplus",
    SQRT_F32 = "sqrt_f32",
    SQUARE = "square",
    SUB = "sub",
    SUB_I32 = "sub_i32",
    TAN_F32 = "tan_f32" calls SINE_COSINE,
    TANH_F32 = "tanh_f32",
    TRUNC_F32 = "trunc_f32",
    U32_TO_F32 = "u32_to_f32",
    XOR_BOOL = "xor_bool",
    XOR_I32 = "xor_i32",
}
