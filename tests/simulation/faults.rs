//! What goes wrong with servers, clocks, the store as a whole, and jobs. What goes wrong with single calls stands in
//! `way` and `network`.

use tessera_contract::JobId;
use tessera_contract::scripted::Outside;

use crate::watch::SKEW;
use crate::world::{Later, World};

impl World {
    /// Something goes wrong, by chance.
    pub(crate) fn go_wrong(&mut self) {
        let server = self.shared.lock().dice.index(self.servers.len());
        match self.shared.below(20) {
            0 | 1 => self.crash(server),
            2 | 3 => self.pause(server),
            4 => self.wrong_clock(server),
            5 => self.jump(),
            6 => self.cut_off(server),
            7 => self.silence(),
            8 => self.reconfigure(server),
            9 => self.lose_a_machine(server),
            10.. => self.harm_a_job(),
        }
    }

    fn fault(&self, kind: &'static str) {
        self.shared.lock().tally.fault(kind);
    }

    fn after(&mut self, most_ms: u64, later: Later) {
        let at = self.shared.now_ms() + self.shared.below(most_ms);
        self.later.push((at, later));
    }

    fn crash(&mut self, server: usize) {
        if !self.servers[server].is_up {
            return;
        }
        self.fault("a server died");
        self.shared.tell(&self.servers[server].name, None, || "dies".to_owned());
        self.servers[server].crash(&mut self.executor, &self.shared);
        self.later.retain(|(_, later)| *later != Later::Resume(server));
        let most_ms = 3 * self.shared.lock().lease_ms / 2;
        self.after(most_ms, Later::Restart(server));
    }

    fn pause(&mut self, server: usize) {
        if !self.servers[server].is_up || self.servers[server].is_paused {
            return;
        }
        self.fault("a server was stopped, and went on");
        self.shared.tell(&self.servers[server].name, None, || "is stopped".to_owned());
        self.servers[server].is_paused = true;
        let most_ms = 3 * self.shared.lock().lease_ms;
        self.after(most_ms, Later::Resume(server));
    }

    fn wrong_clock(&mut self, server: usize) {
        self.fault("a server's clock jumped");
        let most = self.shared.lock().patience_ms / SKEW;
        let skew = i64::try_from(self.shared.below(2 * most)).unwrap() - i64::try_from(most).unwrap();
        self.shared.tell(&self.servers[server].name, None, || format!("its clock is wrong by {skew} ms now"));
        self.servers[server].skew_ms = skew;
        let now_ms = self.shared.now_ms();
        self.servers[server].set_clock(now_ms);
    }

    fn jump(&mut self) {
        self.fault("all clocks jumped");
        let to = self.shared.now_ms() + self.shared.below(600_000);
        self.shared.tell("time", None, || "all stand still for a while, but for what is on its way".to_owned());
        self.pass_until(to);
    }

    fn cut_off(&mut self, server: usize) {
        self.shared.lock().cut_off[server] = true;
        self.shared.tell(&self.servers[server].name, None, || "does not reach the store".to_owned());
        self.after(90_000, Later::Reach(server));
    }

    fn silence(&mut self) {
        let site = self.shared.lock().dice.index(self.start.sites.all.len());
        self.shared.lock().silent[site] = true;
        self.shared.tell(&self.start.sites.all[site].name, None, || "does not answer".to_owned());
        self.after(120_000, Later::Answer(site));
    }

    /// A machine with what runs on it, for ever; another server is left.
    fn lose_a_machine(&mut self, server: usize) {
        if self.servers.len() < 2 || self.servers.iter().any(|server| server.is_lost) {
            return;
        }
        self.crash(server);
        self.fault("a machine did not come back");
        self.shared.tell(&self.servers[server].name, None, || "its machine does not come back".to_owned());
        self.servers[server].is_lost = true;
        for site in self.start.sites.all.iter().filter(|site| site.machine_of == Some(server)) {
            for job in site.scripted.outside().jobs(&site.installation).unwrap_or_default() {
                let _ = site.scripted.outside().lose(&site.installation, &job);
            }
        }
    }

    /// The next run has other backends, or has them in another order.
    fn reconfigure(&mut self, server: usize) {
        let orders: [&[usize]; 6] = [&[0, 1], &[1, 0], &[0, 1], &[1, 0], &[0], &[1]];
        let configured = self.shared.lock().dice.pick(&orders).to_vec();
        if configured == self.start.configured {
            return;
        }
        self.fault("the configuration of backends was changed");
        self.start.configured = configured;
        self.crash(server);
    }

    fn harm_a_job(&mut self) {
        let site = self.shared.lock().dice.index(self.start.sites.all.len());
        let site = &self.start.sites.all[site];
        let installation = site.installation.clone();
        let outside = site.scripted.outside();
        let jobs = outside.jobs(&installation).unwrap_or_default();
        if jobs.is_empty() {
            return;
        }
        let job = self.shared.lock().dice.pick(&jobs).clone();
        type Harm = fn(&Outside, &tessera_contract::InstallationId, &JobId) -> std::io::Result<()>;
        let harms: [(&str, Harm); 6] = [
            ("a job was lost", Outside::lose),
            ("a job was preempted", Outside::preempt),
            ("a job was held", Outside::pause),
            ("a held job went on", Outside::resume),
            ("a job could not be read", Outside::make_unreadable),
            ("a job could be read again", Outside::make_readable),
        ];
        let (kind, harm) = *self.shared.lock().dice.pick(&harms);
        self.fault(kind);
        let task = tessera::task::TaskId::parse(job.attempt().unwrap_or_default().0);
        self.shared.tell(&site.name, task.as_ref(), || format!("{kind}: {job}"));
        let _ = harm(outside, &installation, &job);
    }

    /// Something comes back.
    pub(crate) fn happens(&mut self, later: Later) {
        match later {
            Later::Restart(server) if !self.servers[server].is_up && !self.servers[server].is_lost => {
                self.start(server);
            }
            Later::Restart(_) => {}
            Later::Resume(server) => {
                self.shared.tell(&self.servers[server].name, None, || "goes on".to_owned());
                self.servers[server].is_paused = false;
                self.executor.unpark();
            }
            Later::Reach(server) => {
                self.shared.tell(&self.servers[server].name, None, || "reaches the store again".to_owned());
                self.shared.lock().cut_off[server] = false;
            }
            Later::Answer(site) => {
                self.shared.tell(&self.start.sites.all[site].name, None, || "answers again".to_owned());
                self.shared.lock().silent[site] = false;
            }
        }
    }

    /// Faults stop: everybody is there, reaches everybody, and has the right clock.
    pub(crate) fn heal(&mut self) {
        self.shared.lock().faults = false;
        self.shared.tell("time", None, || "from here on nothing goes wrong any more".to_owned());
        self.later.clear();
        for server in 0..self.servers.len() {
            self.servers[server].skew_ms = 0;
            self.happens(Later::Resume(server));
            self.happens(Later::Reach(server));
        }
        for site in 0..self.start.sites.all.len() {
            self.happens(Later::Answer(site));
        }
        if self.start.configured.len() < 2 {
            self.start.configured = vec![0, 1];
        }
        for server in self.servers.iter_mut().filter(|server| server.configured.len() < 2) {
            server.crash(&mut self.executor, &self.shared);
        }
        // Two runs do not begin at one moment.
        let soon = self.shared.now_ms() + 5;
        self.pass_until(soon);
        for server in 0..self.servers.len() {
            self.happens(Later::Restart(server));
        }
        for (site, outside) in self.start.sites.worlds() {
            let installation = &site.installation;
            for job in outside.jobs(installation).unwrap_or_default() {
                let _ = outside.resume(installation, &job);
                let _ = outside.make_readable(installation, &job);
            }
        }
    }
}
