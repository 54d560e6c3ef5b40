import { describe, expect, test } from "bun:test";
import { readReport } from "./report.ts";

const output = (text: string): string[] => text.split("\n");

describe("The report of a process of tests", () => {
  test("counts what passed", () => {
    const lines = output("a.test.ts:\n(pass) A > works [1.00ms]\n\n 1 pass\n 0 fail\nRan 1 test.");
    expect(readReport(lines, 0)).toEqual({ passed: 1, failed: 0, failures: [] });
  });

  test("has the error of each failed test", () => {
    const lines = output(
      `a.test.ts:
(pass) A > works [1.00ms]
1 | expect(1).toBe(2)
error: expect(received).toBe(expected)
(fail) A > differs [0.69ms]
(skip) A > waits
(fail) A > is late [101.51ms]
  ^ this test timed out after 100ms.

2 tests failed:
(fail) A > differs [0.69ms]
(fail) A > is late [101.51ms]

 1 pass
 1 skip
 2 fail`,
    );
    expect(readReport(lines, 1)).toEqual({
      passed: 1,
      failed: 2,
      failures: [
        {
          name: "A > differs",
          text: "1 | expect(1).toBe(2)\nerror: expect(received).toBe(expected)",
        },
        { name: "A > is late", text: "^ this test timed out after 100ms." },
      ],
    });
  });

  test("has an error outside of any test", () => {
    const lines = output(
      "a.test.ts:\n# Unhandled error between tests\nerror: broken\n\n 0 pass\n 1 fail\n 1 error",
    );
    const { passed, failed, failures } = readReport(lines, 1);
    expect({ passed, failed }).toEqual({ passed: 0, failed: 1 });
    expect(failures).toEqual([{ name: "exit code 1", text: lines.join("\n") }]);
  });

  test.each([
    [132, "exit code 132"],
    ["was ended by SIGKILL", 'was ended by SIGKILL after "A > works"'],
    ["printed nothing for 6 minutes", 'printed nothing for 6 minutes after "A > works"'],
  ])("is a failure where the process %p, and names the last test", (ended, name) => {
    const lines = output("a.test.ts:\n(pass) A > works [1.00ms]\npanic");
    const text = lines.join("\n");
    expect(readReport(lines, ended)).toEqual({ passed: 1, failed: 1, failures: [{ name, text }] });
  });

  test("is a failure if the process fails though its tests passed", () => {
    const lines = output("(pass) A > works [1.00ms]\n\n 1 pass\n 0 fail");
    expect(readReport(lines, 1)).toMatchObject({ passed: 1, failed: 1 });
  });
});
