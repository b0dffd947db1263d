import { expect } from 'chai'
import { knowingItsFaults, withoutRepeatedFaults } from '../../../../src/application/health/faults.ts'
import { StoreMisconfiguredError, StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import type { Logger } from '../../../../src/application/ports/telemetry.ts'
import { rejection } from '../../../contract/fixtures.ts'

const wrong = new StoreMisconfiguredError('the password is wrong', 'EVENT_STORE_URL esdb://here')

describe('What a person has to mend in a store', () => {
  let lines: string[]
  let failure: Record<'read' | 'write', Error | null>
  const note =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push(`${level} ${(fields as { reason?: string }).reason ?? ''} ${message}`)
  const log: Logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }

  beforeEach(() => {
    lines = []
    failure = { read: null, write: null }
  })
  const call = (name: 'read' | 'write') => async (): Promise<string> => {
    const error = failure[name]
    if (error) throw error
    return name
  }
  const store = () => knowingItsFaults({ read: call('read'), write: call('write') }, ['read', 'write'], log)

  it('is known from the first call that fails until one of its kind succeeds, and is logged once', async () => {
    const known = store()
    failure.write = wrong
    for (let n = 0; n < 3; n++) expect(await rejection(known.write())).to.equal(wrong)
    await known.read()
    expect(known.fault(), 'without the address').to.equal('the password is wrong')
    failure.write = null
    await known.write()
    expect(known.fault()).to.equal(null)
    expect(lines).to.deep.equal([
      'error EVENT_STORE_URL esdb://here: the password is wrong a store cannot be used until somebody mends it',
      'info  the store can be used again',
    ])
  })

  it('is no outage', async () => {
    const known = store()
    failure.read = new StoreUnavailableError('down')
    await rejection(known.read())
    expect([known.fault(), lines]).to.deep.equal([null, []])
  })

  it('is not logged again by those who try again and again, but for requests', () => {
    const quiet = withoutRepeatedFaults(log)
    quiet.warn({ err: wrong }, 'usage not stored yet')
    quiet.error({ err: new Error('failed', { cause: wrong }) }, 'usage is not rolled up')
    quiet.error({ err: wrong, requestId: 'r' }, 'not served')
    quiet.warn({ err: new Error('another') }, 'usage not stored yet')
    expect(lines).to.deep.equal(['error  not served', 'warn  usage not stored yet'])
  })
})
