import type { Config } from "../../src/config/config.ts";
import { defaultConfig } from "../../src/config/parse.ts";
import type { Log } from "../../src/core/ports/log.ts";
import { GatewayLifecycle } from "../../src/gateway/gateway-lifecycle.ts";
import { Output } from "../../src/streamkit/output.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { FakeEngine } from "./fake-engine.ts";

/** A log that keeps the events of errors and warnings. */
export class ErrorLog implements Log {
  readonly errors: unknown[] = [];
  readonly warnings: unknown[] = [];
  debug(): void {}
  info(): void {}
  warn(_message: string, properties?: Record<string, unknown>): void {
    this.warnings.push(properties);
  }
  error(_message: string, properties?: Record<string, unknown>): void {
    this.errors.push(properties);
  }
}

/** An output over a real gateway service, whose engine is fake. */
export class OutputHarness {
  readonly clock = new ManualClock();
  readonly engine = new FakeEngine();
  readonly log = new ErrorLog();
  readonly gateway: GatewayLifecycle;
  readonly output: Output;
  /** What `/healthz` shows, as the engine is told. */
  report: unknown;
  /** How often an engine was made. */
  made = 0;
  /** If set, no engine can be made. */
  makeFault: unknown;

  constructor(config: Partial<Config> = {}) {
    this.gateway = new GatewayLifecycle(
      { ...defaultConfig(), ...config },
      {
        makeEngine: async (report) => {
          this.made++;
          this.report = report;
          if (this.makeFault !== undefined) throw this.makeFault;
          return this.engine;
        },
        clock: this.clock,
        log: this.log,
        version: "1.2.3",
      },
    );
    this.output = new Output(this.gateway);
  }
}
