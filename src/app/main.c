#include <stdio.h>

int main(void)
{
    puts("kontor: no sub-command is built in yet");
    return 0;
}
