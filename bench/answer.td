-- The rule of the benchmarks: each reading is answered with a command that carries its number.
STREAM reading FROM 'bench/in/+p' (s INT);
RULE answer PER p WHEN reading ARRIVES SEND 'bench/out/+p' {s: reading.s};
