// Works through jobs, each at least once. Try it: see README.md
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { connect } from "spillway/client";

const { GATEWAY = "ws://localhost:8080/ws", NAME = "worker", WORK_MS = "500" } = process.env;

async function work({ name, fails = 0 }, redelivery) {
  process.stdout.write(`Begun: ${name}\n`);
  await setTimeout(Number(WORK_MS));
  if (redelivery < fails) throw new Error("not this time");
  return name;
}

const connection = connect(GATEWAY);
connection.on("error", ({ message }) => process.stderr.write(`${message}\n`));
process.once("SIGTERM", () => connection.close());

// The durable remembers at every gateway, also after days, which jobs are done.
const jobs = connection.subscribe("jobs.>", { mode: "at-least-once", durable: NAME, from: "all" });
try {
  for await (const job of jobs) {
    if (job.type !== "data") continue;
    try {
      process.stdout.write(`Done: ${await work(job.payload, job.redelivery)}\n`);
      // The next step of the loop acknowledges it.
    } catch (error) {
      process.stdout.write(`Again: ${job.payload.name}, as ${error.message}\n`);
      job.nack();
    }
  }
} catch (error) {
  if (error.code !== "closed") throw error;
}
