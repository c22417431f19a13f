/* libdcmi.so: cards 2 and 5; card 2 has two chips and a control unit, card 5 one sick chip. */
#include "support/stub.h"

#define NOT_SUPPORTED (-8255)
#define NO_DEVICE (-8008)

STUB(int, dcmi_init, (void))
{
    return stub_init_rc();
}

STUB(int, dcmi_get_driver_version, (char *text, unsigned len))
{
    stub_text(text, len, "25.5.1");
    return 0;
}

static int list_cards(int *n, int *list, int cap)
{
    *n = stub_count(2);
    if (STUB_VARIANT == STUB_GARBAGE) {
        *n = 0x7fffffff;
    }
    for (int i = 0; i < cap; i++) {
        list[i] = i == 0 ? 2 : 5;
    }
    return 0;
}

#if STUB_VARIANT == STUB_OLD
STUB(int, dcmi_get_card_num_list, (int *n, int *list, int cap))
#else
STUB(int, dcmi_get_card_list, (int *n, int *list, int cap))
#endif
{
    return list_cards(n, list, cap);
}

#if STUB_VARIANT != STUB_MISSING
STUB(int, dcmi_get_device_num_in_card, (int card, int *n))
{
    *n = card == 2 ? 3 : 1;
    return 0;
}
#endif

STUB(int, dcmi_get_device_type, (int card, int device, int *type))
{
    *type = card == 2 && device == 2 ? 1 : 0; // the control unit
    return 0;
}

STUB(int, dcmi_get_device_logic_id, (int *logic, int card, int device))
{
    *logic = card == 2 ? device : 2;
    return 0;
}

STUB(int, dcmi_get_device_phyid_from_logicid, (unsigned logic, unsigned *physical))
{
    *physical = logic + 4;
    return 0;
}

static int chip_info(void *chip)
{
    stub_text((char *)chip + 32, 32, "910B3");
    stub_u32(chip, 96, 20);
    return 0;
}

#if STUB_VARIANT == STUB_OLD
STUB(int, dcmi_get_device_chip_info, (int card, int device, void *chip))
#else
STUB(int, dcmi_get_device_chip_info_v2, (int card, int device, void *chip))
#endif
{
    (void)card;
    (void)device;
    return chip_info(chip);
}

STUB(int, dcmi_get_device_die_v2, (int card, int device, int type, void *die))
{
    if (type != 1) {
        return -8001;
    }
    stub_u32(die, 0, 0xe0f4ee64u);
    stub_u32(die, 4, (uint32_t)card);
    stub_u32(die, 8, (uint32_t)device);
    stub_u32(die, 12, 0x89528485u);
    stub_u32(die, 16, 0x104301e3u);
    return 0;
}

#if STUB_VARIANT == STUB_OLD
STUB(int, dcmi_get_device_pcie_info, (int card, int device, void *pci))
{
    (void)device;
    stub_u32(pci, 0, 0xd802);
    stub_u32(pci, 4, 0x19e5);
    stub_u32(pci, 16, 0);                     // device
    stub_u32(pci, 20, 0xc0 + (uint32_t)card); // bus
    stub_u32(pci, 24, 0);                     // function
    return 0;
}

STUB(int, dcmi_get_device_memory_info_v2, (int card, int device, void *memory))
{
    (void)card;
    (void)device;
    stub_u64(memory, 0, 21525);
    stub_u32(memory, 12, 10); // percent
    return 0;
}
#else
STUB(int, dcmi_get_device_pcie_info_v2, (int card, int device, void *pci))
{
    (void)device;
    stub_u32(pci, 0, 0x19e5);
    stub_u32(pci, 8, 0xd802);
    stub_u32(pci, 16, 1);                     // domain
    stub_u32(pci, 20, 0xc0 + (uint32_t)card); // bus
    return 0;
}

STUB(int, dcmi_get_device_hbm_info, (int card, int device, void *hbm))
{
    (void)device;
    if (card == 5 && STUB_VARIANT == STUB_NORMAL) {
        return NOT_SUPPORTED; // then the DDR answers
    }
    stub_u64(hbm, 0, 65536);
    stub_u64(hbm, 16, STUB_VARIANT == STUB_GARBAGE ? 0xffffffffffull : 3445);
    return 0;
}

STUB(int, dcmi_get_device_memory_info_v3, (int card, int device, void *memory))
{
    (void)card;
    (void)device;
    memset(memory, 0, 112);
    stub_u64(memory, 0, 21525);
    stub_u64(memory, 8, 20000);
    return 0;
}
#endif

STUB(int, dcmi_get_device_utilization_rate, (int card, int device, int kind, unsigned *percent))
{
    (void)device;
    *percent = STUB_VARIANT == STUB_GARBAGE ? 0x7fffffffu : (unsigned)(card * 10 + (kind == 2));
    return 0;
}

STUB(int, dcmi_get_device_temperature, (int card, int device, int *celsius))
{
    (void)card;
    (void)device;
    *celsius = STUB_VARIANT == STUB_GARBAGE ? 255 : 45;
    return 0;
}

STUB(int, dcmi_get_device_power_info, (int card, int device, int *deciwatt))
{
    (void)card;
    (void)device;
    *deciwatt = STUB_VARIANT == STUB_GARBAGE ? -1 : 1028;
    return 0;
}

STUB(int, dcmi_get_device_health, (int card, int device, unsigned *health))
{
    (void)device;
    stub_hang();
    *health = STUB_VARIANT == STUB_GARBAGE ? 0xffffffffu : card == 5 ? 2 : 0;
    return 0;
}

STUB(int, dcmi_get_device_resource_info, (int card, int device, void *list, int *n))
{
    if (STUB_VARIANT == STUB_GARBAGE) {
        *n = 1 << 30;
        return 0;
    }
    *n = card == 2 && device == 0 ? 1 : 0;
    stub_u32(list, 0, 2290156);
    stub_u64(list, 8, (uint64_t)56630 << 20);
    return 0;
}
