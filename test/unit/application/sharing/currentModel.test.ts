import { expect } from 'chai'
import type { Document } from '../../../../src/application/ports/documents.ts'
import { StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import {
  currentModel,
  modelAsAsked,
  questionsAsAsked,
} from '../../../../src/application/sharing/currentModel.ts'

const ask = { where: [], order: 'any' as const, limit: 1 }

/** A read model that says what it was asked, and in which order with the proofs. */
function lab({ isShared = true } = {}) {
  const calls: string[] = []
  const documents = new Map<string, Document>()
  const state = { current: true, proof: (): void => {} }
  const readModel = {
    get: async (_: string, id: string) => {
      calls.push('get')
      return documents.get(id) ?? null
    },
    find: async () => {
      calls.push('find')
      return [...documents.values()]
    },
    count: async () => documents.size,
    watch: () => ({ isLive: () => true, async close() {} }),
  } as unknown as ReadModel
  const currency = {
    isCurrent: () => state.current,
    async current() {
      calls.push('current')
      if (!state.current) throw new StoreUnavailableError('not known')
    },
    ...(isShared && {
      async currentNow() {
        calls.push('now')
        state.proof()
      },
    }),
  }
  const asAsked = async (): Promise<void> => void calls.push('now')
  return {
    calls,
    documents,
    state,
    looked: currentModel(readModel, currency),
    asked: modelAsAsked(readModel, asAsked),
    questions: questionsAsAsked(
      { pages: () => Promise.all([readModel.get('tokens', 'a'), readModel.find('tokens', ask)]) },
      asAsked,
    ),
  }
}

describe('a look-up in a read model that others write past', () => {
  it('is looked for once more, after a proof that begins now, before it is not there', async () => {
    const { calls, documents, state, looked } = lab()
    expect(await looked.get('tokens', 'a')).to.equal(null)
    expect(calls.splice(0)).to.deep.equal(['current', 'get', 'now', 'get'])
    state.proof = () => documents.set('a', { id: 'a' })
    expect(await looked.find('tokens', ask)).to.deep.equal([{ id: 'a' }])
    expect(calls.splice(0)).to.deep.equal(['current', 'find', 'now', 'find'])
    expect(await looked.get('tokens', 'a')).to.deep.equal({ id: 'a' })
    expect(calls).to.deep.equal(['current', 'get'])
  })

  it('is not made without a proof', async () => {
    const { calls, state, looked } = lab()
    state.current = false
    for (const look of [
      looked.get('tokens', 'a'),
      looked.find('tokens', ask),
      looked.count('tokens', [], 1),
    ]) {
      const error = await look.catch((thrown: unknown) => thrown)
      expect(error).to.be.instanceOf(StoreUnavailableError)
    }
    expect(calls).to.deep.equal(['current', 'current', 'current'])
  })

  it('decides nothing when the proof has grown old meanwhile', async () => {
    const { state, documents, calls } = lab()
    documents.set('a', { id: 'a' })
    const readModel = {
      get: async () => {
        calls.push('get')
        state.current = calls.length > 2
        return { id: 'a' }
      },
    } as unknown as ReadModel
    const looked = currentModel(readModel, {
      isCurrent: () => state.current,
      current: async () => void (state.current = true),
    })
    await looked.get('tokens', 'a')
    expect(calls).to.deep.equal(['get', 'get', 'get'])
  })

  it('is believed later only while the read model is current', () => {
    const { looked, state } = lab()
    const watch = looked.watch('tokens', [], () => {})
    expect([watch.isLive(), watch.trustsLookUps]).to.deep.equal([true, false])
    state.current = false
    expect(watch.isLive()).to.equal(false)
  })

  it('is made once where nobody else writes', async () => {
    const { calls, looked } = lab({ isShared: false })
    expect(await looked.get('tokens', 'a')).to.equal(null)
    expect(calls).to.deep.equal(['current', 'get'])
    expect(looked.watch('tokens', [], () => {})).to.not.have.property('trustsLookUps')
  })
})

describe('what decides a change', () => {
  it('is read as of now', async () => {
    const { asked, calls } = lab()
    await asked.get('tokens', 'a')
    await asked.find('tokens', ask)
    expect(calls).to.deep.equal(['now', 'get', 'now', 'find'])
  })
})

describe('any other question', () => {
  it('is answered as of when it was asked, however much it reads', async () => {
    const { questions, calls } = lab()
    await questions.pages()
    expect(calls).to.deep.equal(['now', 'get', 'find'])
  })
})
