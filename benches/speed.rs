//! The durations of the cases. Compare them only with results of the same machine.
#![expect(missing_docs, reason = "criterion_group! makes a public function")]

mod cases;

use cases::CASES;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn measure(criterion: &mut Criterion) {
    for case in CASES {
        let (group, name) = case.name.split_once('/').expect("a name has a group");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(case.units));
        if case.repeats {
            group.bench_function(name, |bencher| bencher.iter((case.set_up)()));
        } else {
            group.sample_size(20);
            // Returned, so that its drop is not measured.
            let measured = |mut run: cases::Run| {
                run();
                run
            };
            group.bench_function(name, |bencher| {
                bencher.iter_batched(case.set_up, measured, BatchSize::PerIteration);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, measure);
criterion_main!(benches);
