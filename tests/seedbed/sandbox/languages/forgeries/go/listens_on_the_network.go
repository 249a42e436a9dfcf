package main

import (
	"fmt"
	"net"
)

func main() {
	if _, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		fmt.Println(1281)
	}
}
