import { expect } from 'chai'
import { exchange, codeOf, linkFor } from '../support/callers/portal.ts'
import { startFleet } from '../support/processes/fleet.ts'
import { startLeanFleet } from '../support/processes/leanFleet.ts'
import { PEPPERS } from '../support/processes/ledger.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'

const TIMES = 10
const env = { PUBLIC_URL: 'http://127.0.0.1', TOKEN_PEPPERS: PEPPERS }

interface Fleet {
  members: { service: { url: string } }[]
  close(): Promise<void>
}

const suite = (start: () => Promise<Fleet>) =>
  function (this: Mocha.Suite) {
    this.timeout(300_000)
    let fleet: Fleet
    before(async () => {
      fleet = await start()
    })
    after(() => fleet.close())

    it(`open one session of a code that both get at once, ${TIMES} times`, async () => {
      const urls = fleet.members.map(({ service }) => service.url) as [string, string]
      for (let n = 0; n < TIMES; n++) {
        // The code that one process made is read by the other, too.
        const code = codeOf(await linkFor(urls[n % 2 === 0 ? 0 : 1]))
        const answers = await Promise.all([...urls, ...urls].map((url) => exchange(url, code)))
        expect(answers.map(({ status }) => status)).to.have.members([204, 409, 409, 409])
        for (const answer of answers) expect(answer.headers.has('set-cookie')).to.equal(answer.status === 204)
        // Later it is used as well, wherever it is brought.
        for (const url of urls) expect((await exchange(url, code)).status).to.equal(409)
      }
    })
  }

describeWithMongod(
  'two processes on EventStoreDB and MongoDB',
  suite(() => startFleet(2, { env })),
)
describe(
  'two processes on EventStoreDB alone',
  suite(() => startLeanFleet(2, { env })),
)
