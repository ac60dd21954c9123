// No data yet: the page says the one next step instead of being empty.
import { link } from '../live';
import { Command, Empty } from '../ui';

export function FirstRun() {
    if (link.value !== 'live') {
        return (
            <Empty title={link.value === 'lost' ? 'The hub does not answer' : 'Connecting to the hub'}>
                <p>The page tries again by itself. Is the hub running?</p>
                <Command text="tandem serve" />
            </Empty>
        );
    }
    return (
        <Empty title="The hub runs. Nothing has spoken yet.">
            <p>Send it a first value from a terminal; it appears here at once.</p>
            <Command text={'tandem pub -t hello/world -m 42'} />
            <p>Or without any MQTT client:</p>
            <Command
                text={`curl -H 'Content-Type: application/json' -d '{"topic":"hello/world","payload":"42"}' ${location.origin}/api/v1/messages`}
            />
            <p>Or see a vending machine, a crossing and a heated room at work:</p>
            <Command text="tandem serve --demo" />
        </Empty>
    );
}
