// Package sim puts parts of muster under loads of the size of a data centre,
// without machines: workloads as libraries, for benchmarks and for finding out
// where time goes. It decides nothing and runs nothing.
package sim
