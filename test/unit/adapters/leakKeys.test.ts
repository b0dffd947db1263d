import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { createLeakKeys } from '../../../src/adapters/network/leakKeys.ts'
import { sending, startIssuer, type TestIssuer } from '../../support/processes/issuer.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

describe('The keys of a reporter of leaks', () => {
  let publisher: TestIssuer
  let clock = 0
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const listed = (id: string) => ({
    public_keys: [{ key_identifier: id, key: publicKey.export({ type: 'spki', format: 'pem' }) }],
  })
  const keysOf = () =>
    createLeakKeys(`${publisher.url}/keys`, {
      log: { info() {}, warn() {} },
      now: () => ({ monotonic: clock, wall: clock }),
    })

  beforeEach(async () => {
    publisher = await startIssuer()
    publisher.at['/keys'] = sending(listed('a'))
    clock = 0
  })
  afterEach(() => publisher.close())

  it('are asked for once in five minutes, by ten thousand ids that there are not', async () => {
    const keys = keysOf()
    await keys.find('a')
    clock += 5 * MINUTE
    for (let i = 0; i < 10_000; i++) expect(await keys.find(`unknown ${i}`)).to.equal(undefined)
    expect(publisher.asked).to.have.lengthOf(2)
    publisher.at['/keys'] = sending(listed('b'))
    clock += 5 * MINUTE
    expect(await keys.find('b')).to.not.equal(undefined)
  })

  it('that it has withdrawn are good for a day, however long nothing was reported', async () => {
    const keys = keysOf()
    await keys.find('a')
    publisher.at['/keys'] = sending(listed('b'))
    clock += 24 * HOUR - 1
    expect(await keys.find('a')).to.not.equal(undefined)
    clock += 24 * HOUR
    expect(await keys.find('a')).to.equal(undefined)
  })

  it('are kept for a day, and a week while their publisher is away', async () => {
    const keys = keysOf()
    await keys.find('a')
    clock += 24 * HOUR - 1
    await keys.find('a')
    expect(publisher.asked).to.have.lengthOf(1)
    delete publisher.at['/keys']
    clock += 24 * HOUR
    expect(await keys.find('a')).to.not.equal(undefined)
    clock += 6 * 24 * HOUR
    expect(await Promise.resolve(keys.find('a')).catch(({ name }) => name)).to.equal('KeysUnavailableError')
  })
})
