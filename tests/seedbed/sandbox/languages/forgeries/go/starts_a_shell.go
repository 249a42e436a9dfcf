package main

import (
	"fmt"
	"os/exec"
)

func main() {
	out, _ := exec.Command("/bin/sh", "-c", "echo 1281").Output()
	fmt.Print(string(out))
}
