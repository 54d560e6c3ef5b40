import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  chooseOffer,
  type Extension,
  readExtensions,
} from "../../src/runtime/permessage-deflate.ts";

const PLAIN = "permessage-deflate";
const WITH_WINDOW = "permessage-deflate; server_max_window_bits=15";

describe("An offer of permessage-deflate", () => {
  test.each([
    ["permessage-deflate", PLAIN],
    ["permessage-deflate; client_max_window_bits", PLAIN],
    ["permessage-deflate; client_max_window_bits=8", PLAIN],
    ['permessage-deflate; client_max_window_bits="15"', PLAIN],
    ["permessage-deflate;server_no_context_takeover;client_no_context_takeover", PLAIN],
    ["permessage-deflate; server_max_window_bits=15", WITH_WINDOW],
    ["permessage-deflate; server_max_window_bits=9, permessage-deflate", PLAIN],
    ["permessage-deflate; foo, permessage-deflate; server_max_window_bits=15", WITH_WINDOW],
    ["x-webkit-deflate-frame, , permessage-deflate,", PLAIN],
    ["  permessage-deflate  ;  client_max_window_bits  =  10  ", PLAIN],
  ])("%s is taken", (header, chosen) => {
    expect(chooseOffer(header)).toBe(chosen);
  });

  test.each([
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=14",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=015",
    "permessage-deflate; client_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=08",
    "permessage-deflate; client_max_window_bits=1e1",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover=true",
    "permessage-deflate; unknown",
    "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
    "permessage-deflate; client_max_window_bits=",
    "permessage-deflate; =10",
    "permessage-deflate;",
    'permessage-deflate; client_max_window_bits="10',
    'permessage-deflate; client_max_window_bits="1 0"',
    "permessage-deflate client_max_window_bits",
    "permessage_deflate",
    "constructor; __proto__",
    "",
    ",",
  ])("%s is declined", (header) => {
    expect(chooseOffer(header)).toBeUndefined();
  });

  const token = fc.oneof(
    fc.constantFrom("permessage-deflate", "foo", "server_max_window_bits", "15", "9", "__proto__"),
    fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}$/),
  );
  const extension = fc.record({
    name: token,
    parameters: fc
      .array(fc.tuple(token, fc.option(token, { nil: undefined })), { maxLength: 4 })
      .map((parameters) => new Map(parameters)),
  });

  test("is read again however it is written", () => {
    const space = fc.constantFrom("", " ", "\t", "  ");
    const written = fc
      .array(extension, { maxLength: 5 })
      .chain((extensions) =>
        fc.tuple(
          fc.constant(extensions),
          fc.array(space, { minLength: 200, maxLength: 200 }),
          fc.array(fc.constantFrom("token", "quoted", "escaped"), { minLength: 20, maxLength: 20 }),
        ),
      );
    fc.assert(
      fc.property(written, ([extensions, spaces, styles]) => {
        let n = 0;
        const sp = (): string => spaces[n++ % spaces.length]!;
        const write = (value: string): string => {
          const style = styles[n % styles.length];
          if (style === "token") return value;
          return style === "quoted" ? `"${value}"` : `"${value.replace(/./g, "\\$&")}"`;
        };
        const header = extensions
          .map(({ name, parameters }) => {
            const all = [...parameters].map(([key, value]) =>
              value === undefined
                ? `${sp()};${sp()}${key}`
                : `${sp()};${sp()}${key}${sp()}=${sp()}${write(value)}`,
            );
            return `${sp()}${name}${all.join("")}${sp()}`;
          })
          .join(",");
        expect(readExtensions(header)).toEqual(extensions as Extension[]);
      }),
      { numRuns: 2000 },
    );
  });

  test("is chosen only where each of its parameters is known and kept, whatever the text", () => {
    const piece = fc.oneof(token, fc.constantFrom(";", ",", "=", " ", '"', "\\", "\t", "é"));
    const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(fc.oneof(text, fc.string()), (header) => {
        const chosen = chooseOffer(header);
        expect([undefined, PLAIN, WITH_WINDOW]).toContain(chosen);
        if (chosen !== undefined) {
          expect(header).toContain(PLAIN);
          expect(chooseOffer(chosen)).toBe(chosen);
        }
      }),
      { numRuns: 5000 },
    );
  });
});
