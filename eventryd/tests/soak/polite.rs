//! Polite clients, which must be served at all times. A failure of one fails the soak.

use crate::target::{ClientStream, PASSWORD, Role, Service, Target};
use crate::{Rng, Run};
use std::io::Write;
use test_support::client::RawClient;
use test_support::rpc::{
    AUTH_LIST, CONNECT_OPEN, FEATURE_KEEPALIVE, GET_HOSTNAME, PING, SUPPORTS_FEATURE, message,
    open_arguments, pong,
};
use test_support::sasl::log_in;

/// Runs short sessions, one after the other.
pub(crate) fn run_sessions(target: &Target, service: Service, rng: &mut Rng, run: &Run) {
    while run.is_active() {
        let mut client = Client::connect(target, service);
        for _ in 0..rng.below(5) {
            client.call(GET_HOSTNAME, &[]);
        }
        client.pipeline(1 + rng.below(30));
        run.polite_sessions.add(1);
        run.pause(rng.below(50));
    }
}

/// Keeps one connection, makes calls, and answers pings between them.
pub(crate) fn stay_connected(target: &Target, service: Service, rng: &mut Rng, run: &Run) {
    let mut client = Client::connect(target, service);
    client.call(SUPPORTS_FEATURE, &FEATURE_KEEPALIVE);
    while run.is_active() {
        if rng.one_in(50) {
            let (header, _) = client.raw.read_message().expect("a ping");
            assert_eq!(header, PING);
            client.raw.stream.write_all(&pong()).unwrap();
        }
        client.call(GET_HOSTNAME, &[]);
        run.polite_calls.add(1);
        run.pause(rng.below(100));
    }
}

struct Client {
    raw: RawClient<ClientStream>,
    serial: u32,
}

impl Client {
    fn connect(target: &Target, service: Service) -> Client {
        let stream = target.connect(service, Role::Polite);
        let stream = stream.unwrap_or_else(|error| {
            panic!("a polite client cannot connect to {service:?}: {error}")
        });
        let mut raw = RawClient::over(stream);
        if service == Service::ReadOnly {
            log_in(&mut raw, PASSWORD);
        }
        let mut client = Client { raw, serial: 100 };
        client.call(AUTH_LIST, &[]);
        client.call(CONNECT_OPEN, &open_arguments());
        client
    }

    fn call(&mut self, procedure: i32, arguments: &[u8]) {
        self.send(procedure, arguments);
        self.expect(self.serial);
    }

    /// Makes several calls before it reads the replies.
    fn pipeline(&mut self, count: usize) {
        let first = self.serial + 1;
        for _ in 0..count {
            self.send(GET_HOSTNAME, &[]);
        }
        for serial in first..=self.serial {
            self.expect(serial);
        }
    }

    fn send(&mut self, procedure: i32, arguments: &[u8]) {
        self.serial += 1;
        let call = message(procedure, self.serial, arguments);
        self.raw.stream.write_all(&call).unwrap();
    }

    /// Reads the reply to `serial`, which must be a success, and answers pings before it.
    fn expect(&mut self, serial: u32) {
        loop {
            let (header, _) = self.raw.read_message().expect("a reply to a polite client");
            if header == PING {
                self.raw.stream.write_all(&pong()).unwrap();
                continue;
            }
            assert_eq!((header[4], header[5]), (serial, 0), "serial and status");
            return;
        }
    }
}
