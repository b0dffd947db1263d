/**
 * Mocha's usual output, and behind it what was left out or done in part only, by name. Writes the two numbers that
 * `.ci/run` adds up to the file that MOCHA_COUNTS names, and each failure beside it, to be told again at the end of a
 * long output. Files may have run in several processes, so what all of them together have to show is looked at here.
 */
const { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { reporters } = require('mocha')

/** How the title of a test begins that is skipped for want of something on this machine. Any other one may not be. */
const LEFT_OUT = 'left out: '
/** A title as far as it says that this was done in part. */
const SHORT = /^.* \(short: [^)]*\)/
/** Of the contract over HTTP. */
const HTTP = join(__dirname, '../dist/test/http')

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const leftOut = process.env.TEST_LEFT_OUT
    const partly = new Set(leftOut ? [`left out, as they take long; TEST_SWEEPS=full runs them: ${leftOut}`] : [])
    const passedFiles = new Set()
    const otherFiles = new Set()
    process.env.TEST_SEEN = mkdtempSync(join(tmpdir(), 'tokenledger-seen-'))

    runner.on('pending', (test) => {
      otherFiles.add(test.file)
      if (test.title.startsWith(LEFT_OUT)) partly.add(test.fullTitle())
      else runner.fail(test, new Error('is skipped, and does not say for want of what'), true)
    })
    runner.on('pass', (test) => {
      passedFiles.add(test.file)
      const [upTo] = SHORT.exec(test.fullTitle()) ?? []
      if (upTo) partly.add(upTo)
    })
    runner.on('fail', (test) => otherFiles.add(test.file))
    // Before the failures are shown.
    runner.prependOnceListener('end', () => {
      const all = readdirSync(HTTP).filter((name) => name.endsWith('.test.js'))
      if (all.every((name) => passedFiles.has(join(HTTP, name)) && !otherFiles.has(join(HTTP, name))))
        for (const what of neverSeen(process.env.TEST_SEEN)) runner.fail(testOf(what), new Error('in no test'), true)
      rmSync(process.env.TEST_SEEN, { recursive: true })
    })
    runner.once('end', () => {
      if (partly.size > 0) console.log(['  not done, or not in full:', ...partly, ''].join('\n    '))
      const file = process.env.MOCHA_COUNTS
      if (!file) return
      appendFileSync(file, `${this.stats.passes} ${this.stats.failures}\n`)
      for (const test of this.failures) appendFileSync(`${file}.failures`, `${test.fullTitle()}: ${reasonOf(test)}\n`)
    })
  }
}

/** Described and never seen, 5xx and 429 aside, and `conflict`, which needs twenty lost races in a row. */
function neverSeen(folder) {
  const notes = (kind) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(kind))
      .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
  const seen = new Set(notes('seen'))
  const missing = new Set()
  for (const { paths } of notes('description').map((text) => JSON.parse(text))) {
    for (const [template, item] of Object.entries(paths)) {
      for (const [method, { responses }] of Object.entries(item)) {
        for (const [status, { description }] of Object.entries(responses)) {
          const entry = `${method.toUpperCase()} ${template} ${status}`
          const isRare = Number(status) >= 500 || status === '429' || /^`conflict`: [^`]*$/.test(description)
          if (!isRare && !seen.has(entry)) missing.add(entry)
        }
      }
    }
  }
  return missing
}

/** @param {{ err?: Error }} test one that failed. In one line. */
function reasonOf({ err }) {
  return String(err?.message ?? err).replace(/\s+/g, ' ').slice(0, 500)
}

/** What the reporter itself has to find fault with, in the form of a test. */
function testOf(what) {
  const title = `what is described is seen: ${what}`
  return { title, fullTitle: () => title, titlePath: () => [title], isPending: () => false }
}
