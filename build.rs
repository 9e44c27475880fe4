//! Lets the addon link: only the `napi` feature needs anything here.

fn main() {
    #[cfg(feature = "napi")]
    napi_build::setup();
}
