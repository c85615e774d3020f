// Package isolatetest helps to test what runs containers: a fake Driver whose
// containers end when the test says so, and the one helper through which a
// test that needs the kernel's help skips, or fails where it should have run.
package isolatetest
