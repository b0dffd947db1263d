/**
 * All files, several at a time, but for those that take long, which run where everything is done in full. Where they run
 * they come first, the longest before all others, so that none of them is left for the end.
 */
const { readdirSync } = require('node:fs')
const { sep } = require('node:path')

const FOLDER = 'dist/test'
const isFull = process.env.TEST_SWEEPS === 'full'

/** Of those that are named neither here nor below none takes 25 s. Together they take more than half of the time. */
const LONG = [
  'integration/queryPlans',
  'contract/mongodb.rebuild',
  'e2e/page',
  'e2e/readme',
  'integration/sampler',
  'integration/mongodb/lost',
  'e2e/page.looks',
  'e2e/kill.rotation',
  'e2e/page.trouble',
  'integration/compare',
  'e2e/package',
  'contract/poison',
  'e2e/cli.verify',
  'integration/mongodb/watch',
  'contract/mongodb',
  'integration/sqlite/filling',
  'e2e/deafLog',
  'e2e/page.flows',
  'integration/mongodb/outage',
  'e2e/rolling',
  'integration/mongodb/room',
  'e2e/cli.transfer',
  'integration/manyTokens',
  'e2e/firstFill',
  'e2e/webhooks',
  'e2e/cli.basics',
]
/** These meet an EventStoreDB, and so run as well where the version is named that it behaves like. */
const LONG_ON_EVENTSTORE = [
  'e2e/many',
  'e2e/many.webhooks',
  'e2e/awayStore',
  'e2e/lean.alone',
  'e2e/rebuild.command',
  'integration/eventstoredb/subscriptions',
  'e2e/cli.importTokens',
  'e2e/lean.revoke',
  'e2e/many.outage',
  'e2e/older',
  'e2e/many.revoke',
  'integration/retention',
  'e2e/restoredEventStore',
  'e2e/cli.audit',
  'e2e/many.retention',
  'e2e/lean',
  'integration/eventstoredb/projector',
  'e2e/many.replaced',
  'e2e/stop',
  'e2e/misconfigured',
  'e2e/many.rotation',
]

const files = readdirSync(FOLDER, { recursive: true })
  .map((name) => name.replaceAll(sep, '/'))
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => name.slice(0, -'.test.js'.length))
const long = [...LONG_ON_EVENTSTORE, ...LONG]
for (const name of long) if (!files.includes(name)) throw new Error(`${__filename} names ${name}, which is gone`)
const taken = isFull ? long : process.env.TEST_EVENTSTORE_BEHAVE ? LONG_ON_EVENTSTORE : []

// For the reporter, which names them.
process.env.TEST_LEFT_OUT = long.filter((name) => !taken.includes(name)).join(', ')

module.exports = {
  ...require('../.mocharc.json'),
  parallel: true,
  require: '.ci/worker.cjs',
  spec: [...taken, ...files.filter((name) => !long.includes(name)).sort()].map((name) => `${FOLDER}/${name}.test.js`),
}
