"""One problem in MultiPL-E's form per language, written anew, and completions of it.

It asks for the numbers of a list that are above a bound, each doubled, in their order.
"""

from __future__ import annotations

from typing import Any

PROMPTS = {
    "cpp": """#include<assert.h>
#include<bits/stdc++.h>
// The numbers above a bound, doubled.
// >>> above((std::vector<float>({(float)1.5f, (float)4.0f})), (2.0f))
// (std::vector<float>({(float)8.0f}))
std::vector<float> above(std::vector<float> numbers, float bound) {
""",
    "java": """import java.util.*;
import java.lang.reflect.*;
import org.javatuples.*;
import java.util.stream.*;
class Problem {
    // The numbers above a bound, doubled.
    public static ArrayList<Float> above(ArrayList<Float> numbers, float bound) {
""",
    "js": """//The numbers above a bound, doubled.
// >>> above([1.5, 4.0], 2.0)
// [8.0]
function above(numbers, bound){
""",
    "ts": """//The numbers above a bound, doubled.
function above(numbers: number[], bound: number): number[] {
""",
    "go_test.go": """package above_test

import (
    "testing"
    "fmt"
)

// The numbers above a bound, doubled.
func above(numbers []float64, bound float64) []float64 {
""",
    "rs": """/// The numbers above a bound, doubled.
fn above(numbers: Vec<f64>, bound: f64) -> Vec<f64> {
""",
}
TESTS = {
    "cpp": """}
int main() {
    auto candidate = above;
    assert(candidate((std::vector<float>({(float)1.5f, (float)4.0f})), (2.0f)) == (std::vector<float>({(float)8.0f})));
    assert(candidate((std::vector<float>({(float)3.25f, (float)-7.0f, (float)0.5f})), (-1.0f)) == (std::vector<float>({(float)6.5f, (float)1.0f})));
    assert(candidate((std::vector<float>()), (0.0f)) == (std::vector<float>()));
}
""",
    "java": """    }
    public static void main(String[] args) {
    assert(above((new ArrayList<Float>(Arrays.asList((float)1.5f, (float)4.0f))), (2.0f)).equals((new ArrayList<Float>(Arrays.asList((float)8.0f)))));
    assert(above((new ArrayList<Float>(Arrays.asList((float)3.25f, (float)-7.0f, (float)0.5f))), (-1.0f)).equals((new ArrayList<Float>(Arrays.asList((float)6.5f, (float)1.0f)))));
    assert(above((new ArrayList<Float>(Arrays.asList())), (0.0f)).equals((new ArrayList<Float>(Arrays.asList()))));
    }

}
""",
    "js": """const assert = require('node:assert');


function test() {
  let candidate = above;
  assert.deepEqual(candidate([1.5, 4.0], 2.0),[8.0]);
  assert.deepEqual(candidate([3.25, -7.0, 0.5], -1.0),[6.5, 1.0]);
  assert.deepEqual(candidate([], 0.0),[]);
}

test();
""",
    "ts": """declare var require: any;
const assert = require('node:assert');


function test() {
  let candidate = above;
  assert.deepEqual(candidate([1.5, 4.0], 2.0),[8.0]);
  assert.deepEqual(candidate([3.25, -7.0, 0.5], -1.0),[6.5, 1.0]);
  assert.deepEqual(candidate([], 0.0),[]);
}

test();
""",
    "go_test.go": """func TestAbove(t *testing.T) {
  candidate := above
    type test struct {
        actual   []float64
        expected []float64
    }
   tests := []test{
     { actual: candidate([]float64{1.5, 4.0}, 2.0), expected: []float64{8.0} },
     { actual: candidate([]float64{3.25, -7.0, 0.5}, -1.0), expected: []float64{6.5, 1.0} },
     { actual: candidate([]float64{}, 0.0), expected: []float64{} },
   }

    for i, tc := range tests {
        t.Run(fmt.Sprintf("test num % v", i), func(t *testing.T) {
            if fmt.Sprintf("%v", tc.actual) != fmt.Sprintf("%v", tc.expected) {
                t.Errorf("expected '%s', got '%s'", tc.expected, tc.actual)
            }
        })
    }
}
""",
    "rs": """}

fn main() {
    let candidate = above;
    assert_eq!(candidate(vec![1.5, 4.0], 2.0), vec![8.0]);
    assert_eq!(candidate(vec![3.25, -7.0, 0.5], -1.0), vec![6.5, 1.0]);
    assert_eq!(candidate(Vec::<f64>::new(), 0.0), Vec::<f64>::new());
}
""",
}
# What each data set cuts a completion at. A body that the tests close ends before its brace.
STOPS = {
    "cpp": ["\n}"],
    "java": ["\n    }\n"],
    "js": ["\nfunction ", "\n/*", "\n//", "\nconsole.log"],
    "ts": ["\nfunction ", "\n/*", "\n//", "\nclass"],
    "go_test.go": ["\nfunc", "struct", "\n// "],
    "rs": ["\n}"],
}
# The program's own print must not disturb the tests.
RIGHT = {
    "cpp": """    std::vector<float> out;
    for (float x : numbers) if (x > bound) out.push_back(2 * x);
    std::cout << "debug";
    return out;
}
int more() { return 1; }
""",
    "java": """        ArrayList<Float> out = new ArrayList<>();
        for (float x : numbers) if (x > bound) out.add(2 * x);
        System.out.print("debug");
        return out;
    }
    static void more() { }
}
""",
    "js": "  console.log('debug');\n  return numbers.filter((x) => x > bound).map((x) => 2 * x);\n}\n",
    "ts": "  console.log('debug');\n  return numbers.filter((x) => x > bound).map((x) => 2 * x);\n}\n",
    "go_test.go": """    out := []float64{}
    for _, x := range numbers {
        if x > bound {
            out = append(out, 2*x)
        }
    }
    fmt.Print("debug")
    return out
}
""",
    "rs": """    print!("debug");
    numbers.into_iter().filter(|x| *x > bound).map(|x| 2.0 * x).collect()
}
fn more() {}
""",
}


def row(language: str) -> dict[str, Any]:
    """The problem in one language, with MultiPL-E's fields."""
    return {
        "name": f"Own_0_above_{language}",
        "language": language,
        "prompt": PROMPTS[language],
        "tests": TESTS[language],
        "stop_tokens": STOPS[language],
    }
