//! Several servers on one store: they die, stand still, lose the store and come back, and every task ends as it should,
//! once.

use std::time::Duration;

use tessera_contract::scripted::Verb;

use super::house::{ABSENT, House, LEASE, Server};
use super::stage::{Stage, doing, needing, with_parameter};
use crate::clock::Clock;
use crate::engine::waiting::Waiting;
use crate::engine::{Settings, dispatch, observe};
use crate::roster::NotJoined;
use crate::store::{Calls, Ceiling, ClaimRequest, Holder, Store};
use crate::task::{Phase, TaskId, TaskSpec};

const SECOND: Duration = Duration::from_secs(1);

/// Moments between two at which a server dies or stands still: no divisor of what a tick has, so that all kinds are met.
const STRIDE: usize = 7;

fn on_docker(words: &[&str]) -> TaskSpec {
    with_parameter("backend", "docker", words)
}

/// A task of each kind on the cluster, and how it must end.
async fn mixed(house: &House) -> Vec<(TaskId, Phase)> {
    let mut tasks = Vec::new();
    for (words, end) in [
        (&["count", "ran", "run-ms", "700"][..], Phase::Complete),
        (&["exit", "3"], Phase::ExecutorError),
        (&["fault", "lost", "the node is gone"], Phase::SystemError),
        (&["preempted-until", "2"], Phase::Complete),
        (&["run-ms", "2000"], Phase::Complete),
        (&["hang"], Phase::Canceled),
    ] {
        tasks.push((house.create(doing(words)).await, end));
    }
    tasks
}

async fn all_end_well(house: &House, tasks: &[(TaskId, Phase)], working: &[&Server]) {
    for (id, end) in tasks {
        let phase = house.until_ended(id, working).await;
        assert_eq!(phase, *end, "{id}: {:?}", house.log(id).await);
    }
    house.assert_clean(working).await;
}

/// Some of a's rounds, one after the other, with the hanging task cancelled between.
async fn rounds(house: &House, a: &Server, hanging: &TaskId) {
    a.round().await;
    a.round().await;
    house.cancel(hanging).await;
    house.clock.advance(SECOND);
    a.round().await;
    house.clock.advance(SECOND);
    a.round().await;
}

#[tokio::test]
async fn a_server_dies_at_any_point_and_another_finishes() {
    for point in (1..).step_by(STRIDE) {
        let house = House::new();
        let (a, b) = (house.server("a").await, house.server("b").await);
        a.tick().await;
        let tasks = mixed(&house).await;
        let hanging = &tasks[5].0;
        // Its work is dropped where it stands.
        let died = a.store.stop_at(point, rounds(&house, &a, hanging)).await;
        house.cancel(hanging).await;
        all_end_well(&house, &tasks, &[&b]).await;
        if !died {
            assert!(point > 60, "only {point} points; was there anything to do?");
            return;
        }
    }
}

#[tokio::test]
async fn a_server_stands_still_at_any_point_and_does_no_harm_when_it_goes_on() {
    for point in (1..).step_by(STRIDE) {
        let house = House::new();
        let (a, b) = (house.server("a").await, house.server("b").await);
        a.tick().await;
        let tasks = mixed(&house).await;
        let hanging = tasks[5].0.clone();
        let working = rounds(&house, &a, &hanging);
        tokio::pin!(working);
        let stopped = a.store.stop_at(point, &mut working).await;
        house.cancel(&hanging).await;
        if stopped {
            // Longer than its lease and its claims; b has done all of it, and removed what was left.
            house.pass(3 * LEASE, &[&b], &[]).await;
            for (id, end) in &tasks {
                assert_eq!(house.until_ended(id, &[&b]).await, *end, "{:?}", house.log(id).await);
            }
            house.pass(4 * LEASE, &[&b], &[]).await;
            let submits = house.cluster.calls(Verb::Submit);
            a.store.go_on();
            working.await;
            assert_eq!(house.cluster.calls(Verb::Submit), submits, "it has submitted something late (point {point})");
        }
        all_end_well(&house, &tasks, &[&a, &b]).await;
        if !stopped {
            assert!(point > 60, "only {point} points; was there anything to do?");
            return;
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_at_any_point_of_a_hand_over_holds_no_task_up() {
    for point in 1.. {
        let house = House::new();
        let a = house.server("a").await;
        a.tick().await;
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(house.create(doing(&["hang"])).await);
        }
        let site = &a.engine.sites[0];
        let ticking = dispatch::tick_at(&a.engine, site);
        tokio::pin!(ticking);
        let stopped = a.store.stop_at(point, &mut ticking).await;
        if !stopped {
            assert!(point > 6, "only {point} points; was there anything to do?");
            return;
        }
        a.store.cut_off(true);
        a.store.go_on();
        ticking.await.unwrap_err();
        dispatch::tick_at(&a.engine, site).await.unwrap_err();
        a.store.cut_off(false);
        // Not a moment passes.
        house.settle(&[&a]).await;
        for id in &tasks {
            assert_eq!(house.phase(id).await, Phase::Running, "{id} at point {point}: {:?}", house.log(id).await);
            assert_eq!(house.cluster.starts(house.store.installation(), &Stage::job(id, 1), 0), 1);
        }
    }
}

#[tokio::test]
async fn two_servers_share_the_work_and_do_nothing_twice() {
    let house = House::new();
    let (a, b) = (house.server("a").await, house.server("b").await);
    let mut tasks = mixed(&house).await;
    tasks.extend(mixed(&house).await);
    for (hanging, _) in tasks.iter().filter(|(_, end)| *end == Phase::Canceled) {
        house.settle(&[&a, &b]).await;
        house.cancel(hanging).await;
    }
    all_end_well(&house, &tasks, &[&a, &b]).await;
}

#[tokio::test]
async fn who_is_there_keeps_what_it_has_and_who_is_away_does_not() {
    let house = House::new();
    let (a, b) = (house.server("a").await, house.server("b").await);
    let id = house.create(doing(&["run-ms", "600000"])).await;
    a.tick().await;
    let keeper = async || house.store.keeper(&id).await.unwrap().map(|holder| holder.replica().to_owned());
    house.pass(4 * LEASE, &[&a, &b], &[]).await;
    assert_eq!(keeper().await.as_deref(), Some("a"));
    house.pass(LEASE - 2 * SECOND, &[&b], &[]).await;
    assert_eq!(keeper().await.as_deref(), Some("a"), "its lease is not over");
    house.pass(LEASE, &[&b], &[]).await;
    assert_eq!(keeper().await.as_deref(), Some("b"));
    // It goes in an orderly way: nobody waits for its lease.
    house.pass(LEASE, &[&a, &b], &[]).await;
    b.store.leave(b.roster.holder(), house.clock.now()).await.unwrap();
    house.pass(SECOND, &[&a], &[]).await;
    assert_eq!(keeper().await.as_deref(), Some("a"));
    assert_eq!(house.cluster.calls(Verb::Submit), 1);
}

#[tokio::test]
async fn wrong_clocks_make_nobody_away() {
    for seconds in [-3_600, 3_600] {
        let house = House::new();
        let (a, b) = (house.server("a").await, house.server_that_is_wrong_by("b", seconds).await);
        let (far, near) = (on_docker(&["run-ms", "900000"]), doing(&["run-ms", "900000"]));
        b.tick().await;
        let (far, near) = (house.create(far).await, house.create(near).await);
        house.pass(SECOND, &[&b], &[&b]).await;
        house.pass(2 * ABSENT, &[&a, &b], &[&b]).await;
        for id in [far, near] {
            assert_eq!(house.phase(&id).await, Phase::Running, "{:?}", house.log(&id).await);
            assert_eq!(house.store.keeper(&id).await.unwrap().unwrap().replica(), "b");
        }
    }
}

#[tokio::test]
async fn a_store_that_was_away_for_long_makes_nobody_away() {
    let house = House::new();
    let (a, b) = (house.server("a").await, house.server("b").await);
    let id = house.create(on_docker(&["run-ms", "900000"])).await;
    b.tick().await;
    house.pass(LEASE, &[&a, &b], &[]).await;
    for one in [&a, &b] {
        one.store.cut_off(true);
    }
    house.pass(2 * ABSENT, &[&a, &b], &[]).await;
    assert!(!a.roster.may_act(house.clock.now()), "its word was not taken for long");
    a.store.cut_off(false);
    house.pass(LEASE / 2, &[&a, &b], &[]).await;
    assert!(a.roster.may_act(house.clock.now()));
    b.store.cut_off(false);
    house.pass(LEASE, &[&a, &b], &[]).await;
    assert_eq!(house.phase(&id).await, Phase::Running, "{:?}", house.log(&id).await);
    assert_eq!(b.starts(&id, 1), 1);
    // Cut off alone, it does nothing, and its machine is given up by the other after a while.
    b.store.cut_off(true);
    house.pass(ABSENT + 3 * LEASE, &[&a, &b], &[]).await;
    assert_eq!(house.phase(&id).await, Phase::SystemError);
}

#[tokio::test]
async fn a_machine_that_is_away_for_a_while_is_waited_for() {
    let house = House::new();
    let (a, b) = (house.server("a").await, house.server("b").await);
    let id = house.create(on_docker(&["run-ms", "60000"])).await;
    b.tick().await;
    house.pass(SECOND, &[&a, &b], &[]).await;
    let task = house.task(&id).await;
    assert_eq!(task.attempts[0].metadata["backend"], "docker@b");
    assert_eq!(a.engine.explain(&task).await.unwrap().waiting, None, "it runs, and a knows no more");
    house.pass(ABSENT, &[&a], &[]).await;
    assert_eq!(house.phase(&id).await, Phase::Running);
    let waiting = a.engine.explain(&house.task(&id).await).await.unwrap().waiting.unwrap();
    assert!(matches!(&waiting, Waiting::ServerAway { server, since: Some(_), .. } if server == "b"), "{waiting:?}");
    let sentence = waiting.to_string();
    assert!(sentence.starts_with("waiting for server `b`, which alone can ask backend `docker@b`"), "{sentence}");
    let b = house.again(&b).await;
    assert_eq!(house.until_ended(&id, &[&a, &b]).await, Phase::Complete);
    assert_eq!(b.starts(&id, 1), 1);
    house.assert_clean(&[&a, &b]).await;
}

#[tokio::test]
async fn servers_that_begin_together_do_not_take_each_other_for_lost() {
    let house = House::new();
    let b = house.server("b").await;
    let id = house.create(on_docker(&["run-ms", "60000"])).await;
    b.tick().await;
    assert_eq!(house.phase(&id).await, Phase::Running);
    // All were down for days; or the store was moved, and holds no word of anybody.
    for nobody_is_known in [false, true] {
        house.clock.advance(Duration::from_secs(3 * 24 * 3_600));
        if nobody_is_known {
            house.store.interfere("DELETE FROM replicas").await;
        }
        let a = house.server("a").await;
        house.pass(ABSENT - SECOND, &[&a], &[]).await;
        assert!(!house.phase(&id).await.is_terminal(), "{:?}", house.log(&id).await);
    }
    let b = house.again(&b).await;
    assert_eq!(house.until_ended(&id, &[&b]).await, Phase::Complete);
}

#[tokio::test]
async fn rule_12_10_a_machine_that_does_not_come_back_is_lost() {
    for retry_after_start in [false, true] {
        let house = House::with(Settings { retry_after_start, ..Settings::default() });
        let (a, b) = (house.server("a").await, house.server("b").await);
        let running = house.create(on_docker(&["run-ms", "20000"])).await;
        let canceled = house.create(on_docker(&["hang"])).await;
        b.tick().await;
        // One whose hand-over was not finished: nobody knows whether there is a job.
        let claimed = house.create(on_docker(&["run-ms", "1"])).await;
        let wish =
            ClaimRequest { task: claimed.clone(), backend: "docker@b".to_owned(), cpu_milli: 1_000, ram_bytes: 0 };
        let (now, until) = (house.clock.now(), house.clock.now() + LEASE);
        b.store.claim(b.roster.holder(), now, until, Ceiling::default(), &[wish]).await.unwrap();
        house.cancel(&canceled).await;
        house.pass(ABSENT, &[&a], &[]).await;
        assert_eq!(house.phase(&canceled).await, Phase::Canceling);
        house.pass(3 * LEASE, &[&a], &[]).await;
        let log = house.log(&canceled).await;
        assert_eq!(house.phase(&canceled).await, Phase::Canceled);
        let gone = |line: &String| line.starts_with("server `b` has not answered since 2030-01-01T00:00:");
        assert!(log.last().is_some_and(gone), "{log:?}");
        for id in [&running, &claimed] {
            let log = house.log(id).await;
            assert!(log.iter().any(gone), "{log:?}");
            if retry_after_start {
                assert_eq!(house.until_ended(id, &[&a]).await, Phase::Complete);
                assert_eq!(a.starts(id, 2), 1);
            } else {
                assert_eq!(house.phase(id).await, Phase::SystemError);
                assert!(log.last().unwrap().ends_with("not tried again, because a command of the task may have run"));
            }
        }
        // What is left on its machine is stopped and removed when it is back.
        let b = house.again(&b).await;
        house.assert_clean(&[&a, &b]).await;
    }
}

#[tokio::test]
async fn what_is_over_is_removed_by_its_server_and_by_another_only_when_that_is_away() {
    let house = House::new();
    let (a, b) = (house.server("a").await, house.server("b").await);
    let id = house.create(doing(&["true"])).await;
    dispatch::tick(&a.engine).await.unwrap();
    observe::tick(&a.engine).await.unwrap();
    assert_eq!(house.phase(&id).await, Phase::Complete);
    let left = async || house.store.leftovers(9).await.unwrap();
    assert_eq!(left().await[0].holder.as_ref(), Some(a.roster.holder()));
    house.settle(&[&b]).await;
    assert_eq!((left().await.len(), house.cluster.calls(Verb::Release)), (1, 0));
    // Also its next run, and not whoever is there.
    let a = house.again(&a).await;
    house.pass(2 * SECOND, &[&b], &[]).await;
    assert_eq!(left().await.len(), 1);
    house.pass(2 * LEASE, &[&b], &[]).await;
    assert_eq!(left().await, vec![]);
    house.assert_clean(&[&a, &b]).await;
}

#[tokio::test]
async fn a_name_has_one_server() {
    let house = House::new();
    let a = house.server("a").await;
    let thief = async || house.begin("a", "elsewhere", house.clock.clone(), a.machine.clone(), None).await;
    let waits = async {
        loop {
            tokio::task::yield_now().await;
            house.clock.advance(SECOND);
            a.tick().await;
        }
    };
    let refused = tokio::select! { refused = thief() => refused, _ = waits => unreachable!() };
    let Err(NotJoined::Taken { name, address }) = refused else { panic!("two servers have one name") };
    assert_eq!((name.as_str(), address.as_deref()), ("a", Some("http://a:8000")));
    // It is dead: after its lease the name is free.
    house.clock.advance(LEASE + SECOND);
    let new = thief().await.unwrap();
    // It was not dead: it hears so, and never acts again.
    let id = house.create(on_docker(&["true"])).await;
    a.tick().await;
    assert_eq!(a.roster.replaced().map(|other| &other.replica.holder), Some(new.roster.holder()));
    house.pass(3 * LEASE, &[&a], &[]).await;
    assert!(!a.roster.may_act(house.clock.now()));
    assert_eq!(house.phase(&id).await, Phase::Queued);
}

#[tokio::test]
async fn a_restart_takes_its_name_and_its_tasks_at_once_also_when_the_clock_went_back() {
    let house = House::new();
    let a = house.server("a").await;
    let id = house.create(on_docker(&["run-ms", "3000"])).await;
    a.tick().await;
    let again = house.again(&a).await;
    again.tick().await;
    assert_eq!(house.store.keeper(&id).await.unwrap().as_ref(), Some(again.roster.holder()));
    // A run whose id says that it is older than the former one.
    let mut future = a.roster.present()[0].replica.clone();
    future.holder = Holder("a/7zzzzzzzzz0000000000000000".to_owned());
    house.store.enlist(&future, house.clock.now(), house.clock.now() + LEASE).await.unwrap();
    let third = house.again(&a).await;
    assert!(third.roster.holder().0 > future.holder.0);
    assert_eq!(house.until_ended(&id, &[&third]).await, Phase::Complete);
    assert!(!again.roster.beat(&*again.store, &again.clock).await);
    house.assert_clean(&[&third]).await;
}

#[tokio::test]
async fn a_task_goes_to_a_machine_that_is_large_enough() {
    let house = House::new();
    let (a, b) = (house.server_of("a", 2_000).await, house.server_of("b", 8_000).await);
    house.pass(LEASE, &[&a, &b], &[]).await;
    let asking = |cores| {
        let mut spec = needing(cores, &["true"]);
        let parameters = [("backend".to_owned(), "docker".to_owned())].into();
        spec.resources.as_mut().unwrap().backend_parameters = Some(parameters);
        spec
    };
    let (fits, never) = (house.create(asking(6.0)).await, house.create(asking(60.0)).await);
    a.tick().await;
    assert_eq!((house.phase(&fits).await, house.phase(&never).await), (Phase::Queued, Phase::SystemError));
    assert_eq!(house.until_ended(&fits, &[&a, &b]).await, Phase::Complete);
    assert_eq!(b.starts(&fits, 1), 1);
}

#[tokio::test]
async fn a_backend_that_nobody_has_is_refused_once_all_are_heard_of() {
    let house = House::new();
    let a = house.server("a").await;
    let nowhere = house.create(with_parameter("backend", "slurm", &["true"])).await;
    // The name of one machine's backend is none to ask for.
    let pinned = house.create(with_parameter("backend", "docker@a", &["true"])).await;
    house.settle(&[&a]).await;
    assert_eq!(house.phase(&nowhere).await, Phase::Queued, "a server that has it may just have come");
    house.pass(LEASE + SECOND, &[&a], &[]).await;
    assert_eq!((house.phase(&nowhere).await, house.phase(&pinned).await), (Phase::SystemError, Phase::SystemError));
}

#[tokio::test]
async fn the_queue_of_docker_is_one_whatever_the_machine() {
    let house = House::new();
    let (a, b) = (house.server_of("a", 1_000).await, house.server_of("b", 1_000).await);
    for _ in 0..2 {
        house.create(on_docker(&["hang"])).await;
    }
    house.settle(&[&a, &b]).await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(house.create(on_docker(&["true"])).await);
        house.clock.advance(Duration::from_millis(2));
    }
    for one in [&a, &b] {
        let Waiting::InQueue { ahead, .. } =
            one.engine.explain(&house.task(&tasks[2]).await).await.unwrap().waiting.unwrap()
        else {
            panic!("it is not in the queue")
        };
        assert_eq!(ahead, 2);
        let page =
            one.engine.queue(&Stage::owner(), Some("docker"), Default::default(), 9, SECOND).await.unwrap().waiters;
        assert_eq!(page.len(), 3);
        assert!(one.engine.has_backend("docker") && !one.engine.has_backend("slurm"));
    }
    // Two servers see that it has no room; one of them says so.
    house.pass(9 * SECOND, &[&a, &b], &[]).await;
    let told = house.log(&tasks[0]).await;
    assert_eq!(told.iter().filter(|line| line.contains("waiting for room")).count(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_other_servers_are_heard() {
    let slow = Settings { poll_period_ms: 3_600_000, sweep_period_ms: 3_600_000, ..Settings::default() };
    let house = House::in_real_time(slow);
    let a = house.server("a").await;
    let (roster, store) = (a.roster.clone(), a.store.clone());
    let keeping =
        tokio::spawn(async move { roster.keep(&*store, &Clock::system(), std::future::pending::<()>()).await });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let engine = a.engine.clone();
    let running = tokio::spawn(async move {
        engine
            .run(async {
                let _ = stopped.await;
            })
            .await;
    });
    let until = async |id: &TaskId, wanted: &[Phase]| {
        let look = async {
            while !wanted.contains(&house.phase(id).await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), look).await.expect("a call was not heard");
    };
    let id = house.create(doing(&["hang"])).await;
    a.store.calls.send_replace(Calls { queued: 1, canceled: 0 });
    until(&id, &[Phase::Initializing, Phase::Running]).await;
    house.cancel(&id).await;
    a.store.calls.send_replace(Calls { queued: 1, canceled: 1 });
    until(&id, &[Phase::Canceled]).await;
    keeping.abort();
    let _ = stop.send(());
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("the loops did not stop").unwrap();
}
