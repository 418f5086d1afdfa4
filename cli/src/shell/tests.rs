//! The shell, typed into.

use super::*;

/// In a real pseudo-terminal, which the `script` of util-linux provides: raw mode, signals and redrawing have no other proof.
#[cfg(target_os = "linux")]
mod pseudo_terminal {
    use std::io::{Read, Write};
    use std::process::{Child, ChildStdin, Command, Stdio};
    use std::sync::mpsc::{self, Receiver};
    use std::time::{Duration, Instant};

    use crate::connection::canned::Canned;
    use crate::render::Format;
    use crate::run::{Exit, runtime};
    use crate::session::Session;

    use super::*;

    /// Set in the process that is the shell, to what it talks to.
    const IS_SHELL: &str = "TIDEMILL_TEST_SHELL";
    const CANNED_ANSWERS: &str = "canned answers";
    const A_SESSION: &str = "a session";
    /// What the line editor writes when it begins to read: from here on it takes what is typed. The prompt itself is no such
    /// sign, as it is drawn anew with every key.
    const READY: &str = "\x1b[?2004h";
    /// Far more than any answer takes; only a hanging shell needs it.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Not a test but the shell under test: this test binary runs itself in the pseudo-terminal.
    #[test]
    #[ignore = "the other test runs it"]
    fn shell_process() {
        let Ok(connection) = std::env::var(IS_SHELL) else { return };
        let runtime = runtime().unwrap();
        let interrupts = runtime.block_on(async { Interrupts::listen(false) }).unwrap();
        let mut screen = Screen::of_process(Format::Table, true);
        let variables = Variables::default();
        let exit = if connection == A_SESSION {
            let mut session = Session::new([]).unwrap();
            run(&mut session, &runtime, &variables, &mut screen, &interrupts)
        } else {
            run(&mut Canned::default(), &runtime, &variables, &mut screen, &interrupts)
        };
        assert_eq!(exit.unwrap(), Exit::Succeeded);
    }

    /// Types into the shell and looks at its screen.
    struct Typist {
        process: Child,
        keyboard: ChildStdin,
        screen: Receiver<Vec<u8>>,
        seen: String,
        /// What was on the screen before the text last waited for.
        passed: String,
    }

    impl Typist {
        fn start(history: &std::path::Path, connection: &str) -> Typist {
            let exe = std::env::current_exe().unwrap();
            let name = "shell::tests::pseudo_terminal::shell_process";
            let command = format!("{} --exact {name} --ignored --nocapture", exe.display());
            let mut process = Command::new("script")
                .args(["-q", "-c", &command, "/dev/null"])
                .env(IS_SHELL, connection)
                .env("TERM", "xterm")
                .env("TIDEMILL_HISTORY", history)
                .env_remove("NO_COLOR")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("script, of util-linux, is installed");
            let (keyboard, mut output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
            let (sender, screen) = mpsc::channel();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = output.read(&mut bytes) {
                    let _ = sender.send(bytes[..length].to_vec());
                }
            });
            Typist { process, keyboard, screen, seen: String::new(), passed: String::new() }
        }

        fn type_keys(&mut self, keys: &str) {
            self.keyboard.write_all(keys.as_bytes()).unwrap();
            self.keyboard.flush().unwrap();
        }

        /// Waits until `text` is on the screen; what comes before it is not looked at again.
        fn wait_for(&mut self, text: &str) {
            let deadline = Instant::now() + PATIENCE;
            while !self.seen.contains(text) {
                match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(why) => panic!("waiting for {text:?}: {why}; the screen has {:?}", self.seen),
                }
            }
            let (passed, rest) = self.seen.split_once(text).unwrap_or_default();
            (self.passed, self.seen) = (passed.to_string(), rest.to_string());
        }

        /// The seconds that the shell itself says have passed: the number that comes next on the screen.
        fn seconds(&mut self) -> u64 {
            self.wait_for(" s");
            let before = self.passed.rsplit_once(' ').map_or(self.passed.as_str(), |(_, number)| number);
            before.parse().unwrap()
        }

        /// Types a line at the next prompt.
        fn enter(&mut self, line: &str) {
            self.wait_for(READY);
            self.type_keys(&format!("{line}\r"));
        }
    }

    impl Drop for Typist {
        /// A test that failed must not leave a shell behind.
        fn drop(&mut self) {
            let _ = self.process.kill();
        }
    }

    #[test]
    fn a_session_at_a_terminal() {
        let directory = tempfile::tempdir().unwrap();
        let history = directory.path().join("state/history");
        let mut typist = Typist::start(&history, CANNED_ANSWERS);
        typist.wait_for("QUIT; leaves");

        typist.enter("SELECT 1;");
        typist.wait_for("| one  | 1 |");
        typist.wait_for("(1 row, ");

        // What is typed while a statement runs is the next one.
        typist.enter("SELECT 1;\rSELECT 1;");
        typist.wait_for("(1 row, ");
        typist.wait_for("(1 row, ");

        // A statement may span lines, and a line may hold several up to one that fails.
        typist.enter("SHOW\r TABLES; SELECT 1;");
        typist.wait_for("nobody knows");

        // Ctrl-C drops the line.
        typist.wait_for(READY);
        typist.type_keys("SELECT 'open\x03");

        // Ctrl-C ends an endless query and not the shell.
        typist.enter("SELECT * FROM endless;");
        typist.wait_for("| b ");
        typist.type_keys("\x03");
        typist.wait_for("(2 rows, ");
        typist.wait_for(", stopped)");

        // An updating one is a table, which q ends and leaves.
        typist.enter("SELECT endless counts;");
        typist.wait_for("| tide | 2 |");
        typist.wait_for("q to stop");
        typist.type_keys("q");
        typist.wait_for("| tide | 2 |");
        typist.wait_for("(2 rows, ");

        // A job reports before the next prompt.
        typist.enter("INSERT INTO t SELECT 1;");
        typist.wait_for("job 1 started: insert into sink");
        typist.wait_for("job 1: 2 records skipped");
        typist.wait_for("job 1 finished: 12 rows written");

        // Tab completes.
        typist.wait_for(READY);
        typist.type_keys("SELECT * FROM us\t");
        typist.wait_for(" users");
        typist.type_keys("\x03");
        typist.enter("quit");
        // The shell's process judges its own exit; `script` may lose a child's status when the terminal closes first.
        typist.wait_for("1 passed");
        typist.process.wait().unwrap();

        let history = std::fs::read_to_string(history).unwrap();
        for entry in ["SELECT 1;", "SHOW\\n TABLES; SELECT 1;", "quit"] {
            assert!(history.lines().any(|line| line == entry), "{history}");
        }
    }

    #[test]
    fn a_stuck_watermark_is_explained_within_five_seconds() {
        let directory = tempfile::tempdir().unwrap();
        let files = directory.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(directory.path().join("bids.csv"), "1,2020-01-01 00:00:01\n2,2020-01-01 00:00:30\n").unwrap();
        let mut typist = Typist::start(&directory.path().join("history"), A_SESSION);
        let table = |name: &str, path: &std::path::Path, how: &str| {
            format!(
                "CREATE TABLE {name} (v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', \
                 'path' = '{}', 'format' = 'csv', {how});",
                path.display()
            )
        };
        typist.enter(&table("bids", &directory.path().join("bids.csv"), "'source.follow' = 'true'"));
        typist.enter(&table("silent", &files, "'source.monitor-interval' = '1 s'"));
        typist.enter(
            "SELECT window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
             GROUP BY window_start, window_end;",
        );
        // The window that the watermark has passed is there; of the next one it is said what it waits for.
        typist.wait_for("2020-01-01 00:00:00");
        typist.wait_for("the window from 2020-01-01 00:00:30 to 2020-01-01 00:00:40");
        typist.wait_for("the watermark stands at 2020-01-01 00:00:30");
        typist.wait_for("bids.csv: is at 2020-01-01 00:00:30, its last row came ");
        assert!(typist.seconds() <= 5);
        typist.type_keys("\x03");
        typist.enter(
            "SELECT window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE (SELECT * FROM bids UNION ALL SELECT * FROM silent), \
             DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;",
        );
        typist.wait_for("there is no watermark yet");
        typist.wait_for("table silent: not one row in ");
        assert!(typist.seconds() <= 5);
        typist.wait_for("table.exec.source.idle-timeout");
        typist.type_keys("\x03");
        typist.enter("quit");
        typist.wait_for("1 passed");
    }
}
