// Evaluates the expression of a retryStrategy as Argo's controller does, for each attempt that comes as a JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/argoproj/argo-workflows/v4/util/expr/argoexpr"
	"github.com/argoproj/argo-workflows/v4/util/expr/env"
)

func main() {
	for attempts := json.NewDecoder(os.Stdin); ; {
		var attempt map[string]any
		if err := attempts.Decode(&attempt); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		again, err := argoexpr.EvalBool(os.Args[1], env.GetFuncMap(attempt))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(again)
	}
}
