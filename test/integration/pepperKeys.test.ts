import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { WrongPepperError } from '../../src/application/authentication/pepperKeys.ts'
import { hashToken, parsePeppers } from '../../src/domain/credential.ts'
import { PEPPER_STREAM, tokenStream } from '../../src/domain/streams.ts'
import { rejection } from '../contract/fixtures.ts'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { createWriter, movableEvent } from '../support/events/movable.ts'
import { jwtFor, startLedger } from '../support/processes/ledger.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'
import { eventually } from '../support/suite/eventually.ts'

const keyOf = (n: number): string => Buffer.alloc(32, n).toString('base64')
const RIGHT = `k1:${keyOf(1)}`
const WRONG = `k1:${keyOf(2)}`
const TOKEN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'

describe('A process whose pepper is not the one that the hashes were made with', () => {
  afterEach(endServices)

  const owner = (url: string) => callerOf(url, bearer(jwtFor('acct_1')))
  const refused = async (folder: string, peppers: string) => {
    const error = (await rejection(startLedger({ peppers }, folder))) as Error
    expect(error).to.be.instanceOf(WrongPepperError)
    expect(error.message).to.contain('k1').and.not.contain(keyOf(2))
  }
  const starts = async (folder: string, peppers: string): Promise<void> =>
    (await startLedger({ peppers }, folder)).close()
  async function fingerprints(folder: string): Promise<unknown[]> {
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    const events = await store.readStream(PEPPER_STREAM, 0)
    await store.close()
    return events.map(({ data }) => (data as { keyId: string }).keyId)
  }

  it('refuses to start, and names the key', async () => {
    const folder = await ownFolder()
    const service = await startLedger({ peppers: RIGHT }, folder)
    await createToken(owner(service.url))
    await service.close()
    await refused(folder, WRONG)
    await refused(folder, `k2:${keyOf(3)},${WRONG}`)
    await starts(folder, RIGHT)
  })

  it('starts where a key is added, or taken away', async () => {
    const folder = await ownFolder()
    const both = `k2:${keyOf(3)},${RIGHT}`
    for (const peppers of [RIGHT, both, `k2:${keyOf(3)}`]) {
      const service = await startLedger({ peppers }, folder)
      await createToken(owner(service.url))
      await createToken(owner(service.url))
      await service.close()
    }
    expect(await fingerprints(folder)).to.deep.equal(['k1', 'k2'])
  })

  it('says at its start which key it lacks, and how many tokens it refuses for that', async () => {
    const folder = await ownFolder()
    const both = `k2:${keyOf(3)},${RIGHT}`
    for (const peppers of [RIGHT, both]) {
      const service = await startLedger({ peppers }, folder)
      await createToken(owner(service.url))
      await createToken(owner(service.url))
      await service.close()
    }
    const errors: [object, string][] = []
    const log = { debug() {}, info() {}, warn() {}, error: (...line: [object, string]) => errors.push(line) }
    const service = await startLedger({ peppers: `k2:${keyOf(3)}`, log }, folder)
    await eventually(() => expect(errors).to.have.length(1))
    expect(errors[0]?.[0]).to.deep.equal({ keyId: 'k1', tokens: 2 })
    expect(errors[0]?.[1]).to.contain('TOKEN_PEPPERS')
    await service.close()
    expect(errors).to.have.length(1)
  })

  it('is found out in a log of an earlier version once a token shows which key is right', async () => {
    const folder = await ownFolder()
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    const [pepper] = parsePeppers(RIGHT)
    if (!pepper) throw new Error('no pepper')
    const tokenId = '01890000-0000-7000-8000-000000000001'
    const data = {
      tokenId,
      accountId: 'acct_1',
      name: 'old',
      hash: hashToken(pepper, TOKEN),
      hashKeyId: 'k1',
      hint: 'tkl_…BAEA',
      scopes: [],
      expiresAt: null,
    }
    await createWriter(store)(tokenStream(tokenId), [movableEvent('TokenCreated', data)])
    await store.close()

    // Nothing shows yet which of the two is right, and a token that the wrong one makes must not say it.
    const wrong = await startLedger({ peppers: WRONG }, folder)
    await createToken(owner(wrong.url))
    await wrong.close()
    expect(await fingerprints(folder)).to.deep.equal([])

    const right = await startLedger({ peppers: RIGHT }, folder)
    expect((await callerOf(right.url).get(`${TOKENS}/self`, tokenHeader(TOKEN))).status).to.equal(200)
    await right.close()
    await eventually(async () => expect(await fingerprints(folder)).to.deep.equal(['k1']))
    await refused(folder, WRONG)
  })
})
