/** Approves the sign-in of an ssh or psql client that waits: shows who asks, takes the code of the terminal, or shows one for it. */
import { Alert, Button, Paper, Stack, Text, TextInput, Title } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import type { AnswerResult, Revealed, SignInQuestionView } from '../../../gateway/portal/schema/sign-ins.ts'
import type { PasskeyOptions } from '../../../gateway/portal/schema/passkeys.ts'
import { signInUrl } from '../api.ts'
import { useAnswer, useDeed, useDesk, useFresh, useNow } from '../desk.tsx'
import { Facts } from '../parts/pieces.tsx'
import { touch } from '../passkey.ts'
import { isNowhere, Loading, Refused } from '../parts/states.tsx'
import { useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, spanClock } from '../time.tsx'
import { visible } from '../visible.ts'

const CODE_LENGTH = 8
const FRESH_MS = 3000

/** What was typed or pasted, as `XXXX-XXXX`. */
function asCode(text: string): string {
  const letters = text
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, '')
    .slice(0, CODE_LENGTH)
  return letters.length > 4 ? `${letters.slice(0, 4)}-${letters.slice(4)}` : letters
}

/** The page exists for this one field. */
const focused = (input: HTMLInputElement | null): void => input?.focus()

type Outcome = 'done' | 'denied' | 'shown'

export function SignIn({ id }: { readonly id: string }): React.JSX.Element {
  const answer = useAnswer<SignInQuestionView>(routes.signIn(id))
  // Once it is answered the gateway forgets it: what was asked stays on the page.
  const [outcome, setOutcome] = useState<Outcome>()
  const kind = answer.state === 'ready' ? answer.data.kind : 'ssh'
  useTitle(words.signIn.title[kind])
  const isOver = answer.state === 'failed' && isNowhere(answer.failure)
  // Whoever types the code into the terminal tells this page nothing: it has to ask.
  useFresh(FRESH_MS, outcome === 'shown' && !isOver)
  if (outcome === 'shown' && isOver)
    return <Result color="petrol" title={words.signIn.used} text={words.signIn.usedText} />
  if (outcome === 'done') return <Result color="green" title={words.signIn.done} text={words.signIn.doneText} />
  if (outcome === 'denied') return <Result color="red" title={words.signIn.denied} text={words.signIn.deniedText} />
  if (answer.state === 'loading') return <Loading rows={2} />
  if (answer.state === 'failed') return isNowhere(answer.failure) ? <Over /> : <Refused failure={answer.failure} />
  return <Question question={answer.data} onOutcome={setOutcome} />
}

function Question(props: {
  readonly question: SignInQuestionView
  readonly onOutcome: (outcome: Outcome) => void
}): React.JSX.Element {
  const { question, onOutcome } = props
  const { api } = useDesk()
  const deed = useDeed()
  const left = Math.max(0, Date.parse(question.expiresAt) - useNow(1000))
  const deny = async (): Promise<void> => {
    if (await deed.run(() => api.post(routes.denySignIn(question.id), {}))) onOutcome('denied')
  }
  if (left === 0) return <Over />
  const same = question.sameAddress
  return (
    <Stack gap="lg" className="slim">
      <div>
        <Title order={1} className="page-title">
          {question.passkey ? words.passkeys.confirm : words.signIn.title[question.kind]}
        </Title>
        <Text mt={4}>{question.passkey ? words.passkeys.confirmText : words.signIn.text[question.kind]}</Text>
      </div>
      <Paper withBorder p="md">
        <Facts
          rows={[
            [words.signIn.user, <b key="user">{question.username}</b>],
            [words.signIn.target, question.target],
            [
              words.signIn.source,
              <span key="source">
                <code>{question.sourceAddress}</code>{' '}
                <span className={same ? 'note-good' : 'note-bad'}>
                  {same ? words.signIn.yours : words.signIn.other(question.browserAddress)}
                </span>
              </span>,
            ],
            [
              words.signIn.key,
              question.keyFingerprint === null ? (
                words.signIn.noKey
              ) : (
                <code key="key" className="breaks">
                  {question.keyFingerprint}
                </code>
              ),
            ],
            [words.signIn.client, visible(question.clientVersion)],
            [words.signIn.asked, <Ago key="asked" at={question.askedAt} />],
            [
              words.signIn.expires,
              <span key="left" className="tabular">
                {spanClock(left / 1000)}
              </span>,
            ],
          ]}
        />
      </Paper>
      {question.connections > 1 && <Text size="sm">{words.signIn.many(question.connections)}</Text>}
      {question.signInAgain ? (
        <Stack gap="xs">
          <Text size="sm">{words.signIn.againText}</Text>
          <Button component="a" href={signInUrl({ fresh: true })} size="lg">
            {words.signIn.again}
          </Button>
        </Stack>
      ) : question.direction === 'type' ? (
        <TypeCode question={question} onDone={() => onOutcome('done')} />
      ) : (
        <ShowCode question={question} onShown={() => onOutcome('shown')} />
      )}
      <Refused failure={deed.failure} />
      <Button variant="subtle" color="red" onClick={() => void deny()} loading={deed.busy}>
        {words.signIn.deny}
      </Button>
    </Stack>
  )
}

function TypeCode(props: { readonly question: SignInQuestionView; readonly onDone: () => void }): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  const [code, setCode] = useState('')
  const [wrong, setWrong] = useState<string>()
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault()
    setWrong(undefined)
    let answer: AnswerResult | undefined
    const went = await deed.run(async () => {
      const { id } = props.question
      const passkey = props.question.passkey
        ? { passkey: await touch(await api.post<PasskeyOptions>(routes.touch(id), {})) }
        : {}
      answer = await api.post<AnswerResult>(routes.answer(id), { code, ...passkey })
    })
    if (!went) return
    if (answer?.result === 'signed-in') return props.onDone()
    setCode('')
    setWrong(words.signIn.wrong(answer?.triesLeft ?? 0))
  }
  return (
    <form onSubmit={(event) => void send(event)}>
      <Stack gap="md">
        <TextInput
          label={words.signIn.code}
          description={words.signIn.codeHint}
          value={code}
          onChange={(event) => setCode(asCode(event.currentTarget.value))}
          error={wrong}
          placeholder="XXXX-XXXX"
          size="xl"
          autoComplete="one-time-code"
          autoCapitalize="characters"
          autoCorrect="off"
          spellCheck={false}
          ref={focused}
          required
          withAsterisk={false}
          classNames={{ input: 'code-input', description: 'code-hint', error: 'code-hint' }}
        />
        <Refused failure={deed.failure} />
        <Button type="submit" size="lg" loading={deed.busy} disabled={code.length <= CODE_LENGTH}>
          {props.question.passkey ? words.passkeys.touch : words.signIn.approve}
        </Button>
      </Stack>
    </form>
  )
}

function ShowCode(props: { readonly question: SignInQuestionView; readonly onShown: () => void }): React.JSX.Element {
  const { question, onShown } = props
  const { api } = useDesk()
  const deed = useDeed()
  const [shown, setShown] = useState<Revealed>()
  const show = async (): Promise<void> => {
    if (await deed.run(async () => setShown(await api.post<Revealed>(routes.reveal(question.id), {})))) onShown()
  }
  if (shown !== undefined)
    return (
      <Paper withBorder p="lg" className="code-shown">
        <Text size="sm">{words.signIn.shown}</Text>
        <output>{shown.code}</output>
        <Text size="sm" c="var(--quiet)">
          {words.signIn.waitingTitle}…
        </Text>
      </Paper>
    )
  return (
    <Stack gap="md">
      <Text size="sm">{words.signIn.showText}</Text>
      <Refused failure={deed.failure} />
      <Button size="lg" loading={deed.busy} onClick={() => void show()}>
        {words.signIn.show}
      </Button>
    </Stack>
  )
}

function Result(props: { readonly color: string; readonly title: string; readonly text: string }): React.JSX.Element {
  return (
    <output className="says slim">
      <Alert color={props.color} variant="light" p="lg">
        <Title order={1} className="page-title">
          {props.title}
        </Title>
        <Text mt="xs">{props.text}</Text>
      </Alert>
    </output>
  )
}

function Over(): React.JSX.Element {
  return (
    <div className="slim">
      <Title order={1} className="page-title" mb="md">
        {words.signIn.over}
      </Title>
      <Text c="var(--quiet)">{words.signIn.overText}</Text>
    </div>
  )
}
