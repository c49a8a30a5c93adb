// Posts each body to the address with a client as it comes, and prints status and answer.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	for _, body := range os.Args[2:] {
		answer, err := http.Post(os.Args[1], "application/json", strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		said, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode, string(said))
	}
}
