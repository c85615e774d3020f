// Command bench measures muster against its goals: every row of one table, one
// after the other, and the same as bench.json. It measures the built program and
// Go benchmarks of its parts. It never says of a row what it has not measured.
package main
