//! What is kept of findings and in how many transactions, and what is looked at a second time.

use super::*;

#[test]
fn findings_are_kept_by_series_and_once_for_the_dataset() {
    let world = world_of(&["AAPL", "MSFT"]);
    spoil(&world, "MSFT", 1);
    let sessions = Some((date("2024-07-01"), date("2024-07-31")));
    let (report, _) = run(
        &world,
        &ValidationRequest {
            sessions,
            ..request()
        },
    );
    assert_eq!(report.not_kept, None);
    let things = world.things();
    assert_eq!(things.kept.len(), 1, "one transaction");
    let kept: Vec<_> = things.kept[0]
        .iter()
        .map(|kept| {
            (
                kept.symbol.as_ref().map(Symbol::as_str),
                kept.findings.len(),
            )
        })
        .collect();
    assert_eq!(kept, [(Some("AAPL"), 0), (Some("MSFT"), 1), (None, 0)]);
    assert!(things.kept[0].iter().all(|kept| kept.sessions == sessions));
}

#[test]
fn many_series_and_many_findings_are_kept_in_several_transactions() {
    let world = World::new();
    for number in 0..401 {
        let sessions = (date("2024-07-01"), date("2024-07-01"));
        world.things().asked.push(AskedSeries {
            dataset: dataset(),
            symbol: symbol(&format!("S{number:03}")),
            sessions,
        });
    }
    run(&world, &request());
    let sizes: Vec<usize> = world.things().kept.iter().map(Vec::len).collect();
    assert_eq!(
        sizes,
        [200, 200, 2],
        "the last with what concerns the dataset"
    );

    let world = world_of(&["AAPL", "MSFT", "NVDA", "TSLA"]);
    for name in ["AAPL", "MSFT", "NVDA"] {
        spoil(&world, name, 1_000);
    }
    run(
        &world,
        &ValidationRequest {
            most: 1_000,
            ..request()
        },
    );
    let sizes: Vec<usize> = world.things().kept.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 3], "two thousand are many");
}

#[test]
fn who_cannot_keep_findings_gets_the_report_and_tries_once() {
    let world = world_of(&["AAPL", "MSFT", "NVDA", "TSLA"]);
    for name in ["AAPL", "MSFT"] {
        spoil(&world, name, 1_000);
    }
    world.things().cannot_keep = true;
    let (report, told) = run(
        &world,
        &ValidationRequest {
            most: 1_000,
            ..request()
        },
    );
    assert_eq!(
        report.not_kept.as_deref(),
        Some("cannot keep findings: read-only")
    );
    assert_eq!((report.series, told.found.len()), (4, 2_000));
    assert_eq!(world.things().kept.len(), 1);
}

#[test]
fn a_hole_is_told_when_all_symbols_were_looked_at() {
    let world = World::new();
    let mut bars = july();
    bars.drain(100..110);
    for name in ["AAPL", "MSFT", "NVDA"] {
        world.store_month(name, "2024-07", &bars);
    }
    let (report, told) = run(&world, &request());
    let hole = told.found.last().unwrap();
    assert_eq!(
        (hole.finding.rule, &hole.finding.symbol),
        (Rule::ProviderHole, &None)
    );
    assert!(
        report
            .rules
            .iter()
            .any(|count| count.rule == Rule::ProviderHole && count.open == 1)
    );
    let kept = world.things().kept[0].last().unwrap().clone();
    assert_eq!((kept.symbol, kept.findings.len()), (None, 1));
    // None is kept, one is counted.
    let (report, _) = run(
        &world,
        &ValidationRequest {
            most: 0,
            ..request()
        },
    );
    assert!(
        report
            .rules
            .iter()
            .any(|count| count.rule == Rule::ProviderHole && count.left_out == 1)
    );
    let symbols = ["AAPL", "MSFT", "NVDA"].map(symbol).to_vec();
    let (_, told) = run(
        &world,
        &ValidationRequest {
            symbols,
            ..request()
        },
    );
    assert!(!told.rules().contains(&Rule::ProviderHole));
    assert!(
        world
            .things()
            .kept
            .last()
            .unwrap()
            .iter()
            .all(|kept| kept.symbol.is_some())
    );
}

#[test]
fn what_looks_wrong_is_looked_at_again_with_files_held() {
    let world = world_of(&["AAPL", "MSFT"]);
    // A commit between the look at the file and that at the ledger.
    let whole = world.things().records.clone();
    world
        .things()
        .records
        .retain(|(of, _)| of.as_str() == "MSFT");
    world.things().before_hold = Some(Box::new(move |things| things.records = whole));
    let (report, told) = run(&world, &request());
    assert_eq!(told.found, []);
    assert_eq!(
        (report.series, report.files, world.things().holds),
        (2, 2, 1)
    );
    let looked_at = |name: &str| {
        let things = world.things();
        let key = m1(name, "2024-07");
        things.looked_at.iter().filter(|at| **at == key).count()
    };
    assert_eq!((looked_at("AAPL"), looked_at("MSFT")), (2, 1));
}

#[test]
fn what_is_still_wrong_then_is_told_once() {
    let world = world_of(&["AAPL"]);
    let key = m1("AAPL", "2024-07");
    world.things().seen.get_mut(&key).unwrap().faults = vec![fault(Rule::NotAsCatalogued)];
    world.things().uncatalogued = vec![(key, "a.parquet".into())];
    let (_, told) = run(&world, &request());
    assert_eq!(told.rules(), [Rule::NotAsCatalogued, Rule::Uncatalogued]);
    assert_eq!(world.things().holds, 1);
}

#[test]
fn a_series_that_is_gone_by_then_is_told_as_it_was() {
    let world = world_of(&["AAPL"]);
    world.things().records.clear();
    world.things().before_hold = Some(Box::new(|things| {
        things.files.clear();
        things.asked.clear();
    }));
    let (report, told) = run(&world, &request());
    assert_eq!(
        (report.files, told.rules().contains(&Rule::LedgerDiffers)),
        (1, true)
    );
}

#[test]
fn what_is_looked_at_again_is_the_same_symbol_of_the_same_dataset() {
    let world = world_of(&["AAPL"]);
    let ours = m1("AAPL", "2024-07");
    let theirs = PartitionKey {
        dataset: "synthetic/seed-1/raw".parse().unwrap(),
        ..ours.clone()
    };
    {
        let mut things = world.things();
        // The same file under another provider, and a fault in ours.
        let mut file = things.files[0].clone();
        file.key = theirs.clone();
        things.files.push(file);
        let whole = things.seen[&ours].clone();
        things.seen.insert(theirs.clone(), whole);
        things.seen.get_mut(&ours).unwrap().faults = vec![fault(Rule::NotAsCatalogued)];
        let mut asked = things.asked[0].clone();
        asked.dataset = theirs.dataset.clone();
        things.asked.push(asked);
    }
    let (_, told) = run(&world, &request());
    assert_eq!(told.rules(), [Rule::NotAsCatalogued]);
    assert_eq!(told.found[0].finding.dataset, ours.dataset);
    let looked_at = |key: &PartitionKey| {
        let things = world.things();
        things.looked_at.iter().filter(|at| *at == key).count()
    };
    assert_eq!((looked_at(&ours), looked_at(&theirs)), (2, 1));
}
