/** The client of the package ws, run by Node: offers windows of some bits, and prints each message as a line. */
import process from "node:process";
import { WebSocket } from "ws";

const [url = "", bits = ""] = process.argv.slice(2);
const windows = { serverMaxWindowBits: Number(bits), clientMaxWindowBits: Number(bits) };
const client = new WebSocket(url, { perMessageDeflate: windows });
const print = (line: string): void => void process.stdout.write(`${line}\n`);
client.on("open", () => print("open"));
client.on("message", (data) => print(String(data)));
client.on("error", (error) => print(`error: ${error.message}`));
client.on("close", () => print("closed"));
