//! Link settings that Node asks for.

fn main() {
    napi_build::setup();
}
