import { expect } from 'chai'
import { knowingItsAppends, knowingItsChanges } from '../../../../src/application/health/lastWrite.ts'
import {
  ConflictError,
  StoreUnavailableError,
  UnknownOutcomeError,
} from '../../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import { rejection } from '../../../contract/fixtures.ts'

describe('A store that does not know whether it can be written', () => {
  let failure: Error | null

  beforeEach(() => {
    failure = null
  })
  const answer = async () => {
    if (failure) throw failure
    return { revision: 0, position: '1' }
  }
  const store = () => knowingItsAppends({ append: answer } as unknown as EventStore)

  for (const error of [new StoreUnavailableError('full'), new UnknownOutcomeError('no answer')]) {
    it(`is known to fail from a failed write to the next that succeeds: ${error.name}`, async () => {
      const known = store()
      expect(known.isWritable()).to.equal(true)
      failure = error
      expect(await rejection(known.append('a', 'no_stream', []))).to.equal(error)
      expect(known.isWritable()).to.equal(false)
      failure = null
      await known.append('a', 'no_stream', [])
      expect(known.isWritable()).to.equal(true)
    })
  }

  it('is well when it refuses a write for what that is', async () => {
    const known = store()
    failure = new ConflictError('a', 3)
    await rejection(known.append('a', 0, []))
    expect(known.isWritable()).to.equal(true)
  })

  it('is not asked where it knows by itself', () => {
    const known = knowingItsAppends({ append: answer, isWritable: () => false } as unknown as EventStore)
    expect(known.isWritable()).to.equal(false)
  })

  it('is a read model, too', async () => {
    const known = knowingItsChanges({ apply: answer } as unknown as ReadModel)
    failure = new StoreUnavailableError('full')
    await rejection(known.apply([]))
    expect(known.isWritable()).to.equal(false)
    failure = null
    await known.apply([])
    expect(known.isWritable()).to.equal(true)
  })
})
