// Opens a page in headless Chromium, classifies texts on it, and takes a picture.
//
//     npm install puppeteer-core @sparticuz/chromium
//     NODE_MODULES=$PWD/node_modules node scripts/look_at_page.mjs http://127.0.0.1:8000 out.png TEXT ...
//
// Prints one JSON object a text: what the page shows, by label, in percent. Exits with status 1 if
// the page loaded anything from elsewhere or an error was logged.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.NODE_MODULES}/`);
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: chromium } = await load("@sparticuz/chromium");
const { default: puppeteer } = await load("puppeteer-core");

const [url, picture, ...texts] = process.argv.slice(2);
const browser = await puppeteer.launch({
  args: await puppeteer.defaultArgs({ args: chromium.args, headless: "shell" }),
  executablePath: await chromium.executablePath(),
  headless: "shell",
});
const problems = [];
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 800, height: 620 });
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => {
    const local = request.url().startsWith(url) || /^(blob|data):/.test(request.url());
    if (!local) problems.push(`asked for ${request.url()}`);
  });
  await page.goto(url);
  await page.waitForSelector("button:enabled", { timeout: 60_000 });
  for (const text of texts) {
    await page.$eval("#text", (area, value) => (area.value = value), text);
    await page.$eval("#answer", (answer) => answer.replaceChildren());
    await page.click("button");
    await page.waitForSelector("#answer .row", { timeout: 30_000 });
    const rows = await page.$$eval("#answer .row", (found) =>
      found.map((row) => [row.children[0].textContent, parseFloat(row.children[2].textContent)]));
    console.log(JSON.stringify(Object.fromEntries(rows)));
  }
  await page.screenshot({ path: picture });
} finally {
  await browser.close();
}
// A favicon is asked for by the browser itself.
const real = problems.filter((problem) => !/favicon|404/.test(problem));
if (real.length) {
  console.error(real.join("\n"));
  process.exit(1);
}
