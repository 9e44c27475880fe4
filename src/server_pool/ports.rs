//! A free port on loopback.
//!
//! The server is told a number and not 0: for 0 it takes 4096 first, where a user's own server would be looked for.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use crate::fault::{Code, Fault};

/// How often the system is asked for a port that is not already promised here.
const TRIES: usize = 64;

/// The ports of a pool.
#[derive(Debug)]
pub(super) struct Ports {
    range: Option<RangeInclusive<u16>>,
    promised: Arc<Mutex<BTreeSet<u16>>>,
}

/// A port that nobody else of this pool is given as long as this lives. Others may take it before it is listened on.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    promised: Arc<Mutex<BTreeSet<u16>>>,
}

impl Ports {
    /// Of this range; any if none.
    pub(super) fn new(range: Option<RangeInclusive<u16>>) -> Self {
        Self { range, promised: Arc::default() }
    }

    /// One on which nobody listens.
    pub(super) fn take(&self) -> Result<Port, Fault> {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let free = match self.range.clone() {
            Some(range) => range.into_iter().find(|port| !promised.contains(port) && listen(*port).is_some()),
            None => (0..TRIES).filter_map(|_| listen(0)).find(|port| !promised.contains(port)),
        };
        let Some(number) = free else {
            let which = match &self.range {
                Some(range) => format!("none of the ports {} to {} is free", range.start(), range.end()),
                None => "the system gives no free port".to_owned(),
            };
            return Err(Fault::new(Code::NoPort, which));
        };
        promised.insert(number);
        Ok(Port { number, promised: Arc::clone(&self.promised) })
    }
}

impl Port {
    /// Its number.
    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Listens for a moment; the port, if that could be.
fn listen(port: u16) -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_use_and_promised_ones_are_skipped_until_there_is_none() {
        // Others may listen on its neighbours: a range of one is all that can be known.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = Ports::new(Some(port..=port));
        let fault = ports.take().unwrap_err();
        assert_eq!(fault.code, Code::NoPort);
        assert!(fault.message.contains(&format!("ports {port} to {port}")), "{fault}");
        drop(taken);
        let held = ports.take().unwrap();
        assert_eq!(held.number(), port);
        assert!(ports.take().is_err());
        drop(held);
        assert_eq!(ports.take().unwrap().number(), port);
    }

    #[test]
    fn any_port_is_another_each_time() {
        let ports = Ports::new(None);
        let held: Vec<_> = (0..20).map(|_| ports.take().unwrap()).collect();
        let numbers: BTreeSet<_> = held.iter().map(Port::number).collect();
        assert!(numbers.len() == 20 && !numbers.contains(&0));
    }
}
