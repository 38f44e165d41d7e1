// Command pause stays until it is told to go. It is what keeps a pod's namespaces, and those of the whole node.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	// In a pod with one process namespace the orphans are ours to bury: while it is ignored, the kernel does it.
	signal.Ignore(syscall.SIGCHLD)
	<-told
}
