//! The only room that knows JavaScript. What crosses is a plain object or JSON text; every function catches panics,
//! because one in a synchronous function would end the host.
#![allow(unsafe_code, reason = "the allocator that counts must implement an unsafe trait")]
#![cfg_attr(test, allow(dead_code, reason = "only JavaScript calls these, and a test build registers nothing"))]

mod alloc;
mod attachment;
mod host;
mod inspect;
mod log;
mod process;

use napi_derive::napi;

use crate::{fault::Fault, tools};

/// A tool as the host registers it.
#[napi(object)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its arguments: JSON Schema, draft 7, as JSON.
    pub schema: String,
}

/// Every tool.
#[napi(catch_unwind)]
pub fn tools() -> Vec<ToolSpec> {
    let spec = |tool: tools::ToolSpec| ToolSpec {
        name: tool.name.to_owned(),
        description: tool.description.to_owned(),
        schema: tool.schema.to_string(),
    };
    tools::list().into_iter().map(spec).collect()
}

/// The types of event that the engine reads: all others need not be handed over.
#[napi(catch_unwind)]
pub fn wanted_events() -> Vec<String> {
    crate::opencode::WANTED.iter().map(|kind| (*kind).to_owned()).collect()
}

/// What the plugin adds to the host's configuration, as JSON: `{agent, command}`.
#[napi(catch_unwind)]
pub fn host_config() -> String {
    tools::host_config().to_string()
}

/// Bytes of native memory in use.
#[napi(catch_unwind)]
pub fn native_bytes() -> i64 {
    alloc::in_use()
}

/// Panics, to prove that the host lives on.
#[napi(catch_unwind)]
pub fn panic_for_tests() {
    panic!("a panic on purpose");
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn thrown(fault: Fault) -> napi::Error {
    napi::Error::new(napi::Status::GenericFailure, fault.to_string())
}
