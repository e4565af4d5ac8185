//! Other programs as peers: started, waited for, and ended with the test.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starting an interpreter with its packages on a busy machine takes seconds.
const START_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running program; it ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    output: tempfile::NamedTempFile,
}

impl Process {
    /// Starts the program with its output kept for messages of failure.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = tempfile::NamedTempFile::new().unwrap();
        let write = |file: &File| Stdio::from(file.try_clone().unwrap());
        let child = command
            .stdin(Stdio::piped())
            .stdout(write(output.as_file()))
            .stderr(write(output.as_file()))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started ({error}): run scripts/test"));
        Self {
            child,
            name,
            output,
        }
    }

    /// Waits until `is_ready`; panics with the program's output when it ends or takes too long.
    pub(crate) fn ready(mut self, is_ready: impl Fn() -> bool) -> Self {
        let started = Instant::now();
        while !is_ready() {
            let ended = self.child.try_wait().unwrap();
            let too_long = started.elapsed() > START_TIMEOUT;
            assert!(
                ended.is_none() && !too_long,
                "{} is not ready ({ended:?}):\n{}",
                self.name,
                self.output()
            );
            std::thread::sleep(POLL_INTERVAL);
        }
        self
    }

    /// Waits until the program accepts connections on that port.
    pub(crate) fn listening(self, port: u16) -> Self {
        self.ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok())
    }

    /// What the program has written so far, to both of its outputs.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port of 127.0.0.1 that nobody listened on a moment ago, for programs that must be told one.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The Python interpreter of the virtual environment with `tests/peers/requirements.txt`.
pub(crate) fn peers_python() -> PathBuf {
    let path = std::env::var_os("SENDTRAIL_PEERS_PYTHON");
    let path = path.expect("SENDTRAIL_PEERS_PYTHON is not set: run scripts/test");
    PathBuf::from(path)
}

/// A file under `tests/peers`.
pub(crate) fn peer_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(name)
}

/// Some programs give up root's rights, and then must be told whose to take.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
