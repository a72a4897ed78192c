// strided_place: where element `number`, counted in row-major order, lies from the first one of a strided view
//   axes  of `dims` and `strides` the last ones are in use, 1 to 6, the innermost is 5; a constant at each call, so that of
//         the branches none is left
// checks tests/kernels_rows.rs, by the kernels that call it
fn strided_place(number: u32, axes: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    // Spelled out: an array that a loop indexes would be memory, on some drivers very slow memory.
    var rest = number;
    var place = 0u;
    if (axes > 1u) {
        place = rest % dims[5] * strides[5];
        rest = rest / dims[5];
    }
    if (axes > 2u) {
        place += rest % dims[4] * strides[4];
        rest = rest / dims[4];
    }
    if (axes > 3u) {
        place += rest % dims[3] * strides[3];
        rest = rest / dims[3];
    }
    if (axes > 4u) {
        place += rest % dims[2] * strides[2];
        rest = rest / dims[2];
    }
    if (axes > 5u) {
        place += rest % dims[1] * strides[1];
        rest = rest / dims[1];
    }
    // What is left counts along the outermost axis.
    var outermost = strides[5];
    if (axes == 2u) {
        outermost = strides[4];
    }
    if (axes == 3u) {
        outermost = strides[3];
    }
    if (axes == 4u) {
        outermost = strides[2];
    }
    if (axes == 5u) {
        outermost = strides[1];
    }
    if (axes == 6u) {
        outermost = strides[0];
    }
    return place + rest * outermost;
}
