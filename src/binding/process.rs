//! The engine of this process: at most one, shared by every directory that the host loads the plugin for.
#![allow(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use tokio::sync::Mutex;

use super::{
    host::{self, Listen},
    log, thrown,
};
use crate::{
    engine::{options::Options, service::Engine, stream::EventStream},
    fault::Fault,
    store::Home,
    sys::{self, SystemClock},
};

struct Current {
    home: PathBuf,
    engine: Arc<Engine>,
}

fn current() -> &'static Mutex<Option<Current>> {
    static CURRENT: OnceLock<Mutex<Option<Current>>> = OnceLock::new();
    CURRENT.get_or_init(Mutex::default)
}

static STREAM: RwLock<Option<EventStream>> = RwLock::new(None);

/// The engine on the home that options and environment name; opened if there is none, or if the one there is has been
/// closed. Two homes in one process would be two truths: the first one stays.
///
/// # Errors
/// Why the home cannot be used.
pub async fn engine(options: &Options, listen: Listen) -> Result<Arc<Engine>, Fault> {
    let mut current = current().lock().await;
    if let Some(current) = current.as_ref().filter(|current| !current.engine.is_closed()) {
        return Ok(Arc::clone(&current.engine));
    }
    let path = sys::home::find(options.home.as_deref().map(Path::new))?;
    let home = Home::open(&path)?;
    log::begin(&home.log(), sys::home::log_level());
    let switch = Arc::new(move |on| host::listen(&listen, on));
    let engine = Engine::open(home, Arc::new(SystemClock), options.durability.into(), switch).await?;
    *STREAM.write().unwrap_or_else(PoisonError::into_inner) = Some(EventStream::new(&engine));
    tracing::info!(home = %path.display(), pid = std::process::id(), "engine opened");
    *current = Some(Current { home: path, engine: Arc::clone(&engine) });
    Ok(engine)
}

/// Forgets a closed engine, so that nothing of it stays in memory.
pub async fn forget() {
    let mut current = current().lock().await;
    if let Some(closed) = current.take_if(|current| current.engine.is_closed()) {
        tracing::info!(home = %closed.home.display(), "engine closed");
        *STREAM.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The stream of events is open, or open again.
#[napi(catch_unwind)]
pub fn stream_opened() {
    if let Some(stream) = STREAM.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
        stream.opened();
    }
}

/// Bytes of the stream of events, as they came.
///
/// # Errors
/// Never; a stream that cannot be read is noted and followed by polling.
#[napi(catch_unwind)]
pub fn stream_chunk(chunk: Uint8Array) -> napi::Result<()> {
    if let Some(stream) = STREAM.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
        stream.chunk(&chunk).map_err(thrown)?;
    }
    Ok(())
}

/// The stream of events broke, or was closed as asked.
#[napi(catch_unwind)]
pub fn stream_closed() {
    if let Some(stream) = STREAM.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
        stream.closed();
    }
}
